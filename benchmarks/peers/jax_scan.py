"""JAX: a whole epoch in one compiled function, a scan over the batches, with the update rules as optax writes them.

NumPy draws the order of the rows, which is faster than ``jax.random`` on a CPU.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import MOMENTUM, Case, Data, initial_weights, predictions, targets


class Peer:
    """The network's parameters as a list of pairs of arrays."""

    def __init__(self, case: Case, data: Data) -> None:
        self.case = case
        self.X, self.y = jnp.asarray(data.X), jnp.asarray(targets(case, data.y))
        self.epoch = jax.jit(make_epoch(case), donate_argnums=(0, 1))

    def start(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.params = jax.tree.map(jnp.array, initial_weights(self.case, seed))
        self.state = {
            "count": jnp.zeros((), jnp.int32),
            "mu": jax.tree.map(jnp.zeros_like, self.params),
            "nu": jax.tree.map(jnp.zeros_like, self.params),
        }
        if self.case.solver == "sgd":
            self.state = {"trace": self.state["mu"]}

    def train(self, epochs: int) -> int:
        for _ in range(epochs):
            order = self.rng.permutation(self.case.n_samples)
            self.params, self.state = self.epoch(self.params, self.state, order, self.X, self.y)
        jax.block_until_ready(self.params)
        return epochs

    def predict(self) -> np.ndarray:
        return predictions(self.case, np.asarray(forward(self.params, self.X)))


def make_epoch(case: Case) -> Any:
    """Return ``epoch(params, state, order, X, y) -> params, state``."""
    update = adam if case.solver == "adam" else sgd

    def loss(params: Any, X: jax.Array, y: jax.Array) -> jax.Array:
        raw = forward(params, X)
        if case.regression:
            return 0.5 * jnp.square(raw - y).sum() / case.batch_size
        if case.is_binary:
            return (jnp.logaddexp(0.0, raw) - y * raw).mean()
        return -(y * jax.nn.log_softmax(raw)).sum() / case.batch_size

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        updates, state = update(jax.grad(loss)(params, *batch), state, case.learning_rate)
        return (jax.tree.map(jnp.add, params, updates), state), None

    def epoch(params: Any, state: Any, order: jax.Array, X: jax.Array, y: jax.Array) -> Any:
        if case.n_batches > 1:
            X, y = X[order], y[order]
        batches = tuple(rows.reshape(case.n_batches, case.batch_size, -1) for rows in (X, y))
        return jax.lax.scan(step, (params, state), batches)[0]

    return epoch


def forward(params: Any, X: jax.Array) -> jax.Array:
    """Return the raw outputs."""
    for W, b in params[:-1]:
        X = jax.nn.relu(X @ W + b)
    W, b = params[-1]
    return X @ W + b


def adam(grad: Any, state: Any, learning_rate: float, beta_1: float = 0.9, beta_2: float = 0.999) -> Any:
    """Return the updates and the new state: ``optax.adam``."""
    count = state["count"] + 1
    mu = jax.tree.map(lambda m, g: beta_1 * m + (1.0 - beta_1) * g, state["mu"], grad)
    nu = jax.tree.map(lambda v, g: beta_2 * v + (1.0 - beta_2) * g * g, state["nu"], grad)
    correct_1, correct_2 = 1.0 - beta_1**count, 1.0 - beta_2**count
    updates = jax.tree.map(lambda m, v: -learning_rate * (m / correct_1) / (jnp.sqrt(v / correct_2) + 1e-8), mu, nu)
    return updates, {"count": count, "mu": mu, "nu": nu}


def sgd(grad: Any, state: Any, learning_rate: float) -> Any:
    """Return the updates and the new state: ``optax.sgd`` with Nesterov's momentum."""
    trace = jax.tree.map(lambda t, g: g + MOMENTUM * t, state["trace"], grad)
    return jax.tree.map(lambda t, g: -learning_rate * (g + MOMENTUM * t), trace, grad), {"trace": trace}
