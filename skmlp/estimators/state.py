"""What a fitted estimator consists of: a network with its parameters, and all it takes to train on.

At run time these are core objects. Stored (pickle, joblib, skops) they are arrays, numbers, strings, lists and
dicts, so that a file has nothing in it to distrust; only objects the user handed in, such as a custom activation,
are stored as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmlp._typing import FloatArray
from skmlp.nn.activations import ACTIVATIONS, Activation
from skmlp.nn.losses import LOSSES, Loss
from skmlp.nn.network import Network, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.nn.parameters import Parameters
from skmlp.training.monitor import Monitor
from skmlp.training.stopping import Plateau
from skmlp.training.trainer import Buffers, Trainer, TrainingState

__all__ = ["Architecture", "Model"]


@dataclass(frozen=True)
class Architecture:
    """What the network looks like, in the words of the constructor.

    Attributes
    ----------
    layer_sizes : tuple of int
        ``(n_features, *hidden_layer_sizes, n_outputs)``.
    activations : tuple of str or Activation
        One for each hidden layer.
    loss : str
        A name in ``LOSSES``.
    """

    layer_sizes: tuple[int, ...]
    activations: tuple[str | Activation, ...]
    loss: str

    def build_network(self) -> Network:
        """Return the network."""
        activations = [ACTIVATIONS[each] if isinstance(each, str) else each for each in self.activations]
        return multilayer_perceptron(self.layer_sizes, activations)

    def changes_from(self, fitted: "Architecture") -> str:
        """Say in words what differs from the `fitted` architecture, in the names of parameters; empty if nothing."""
        pairs: Sequence[tuple[str, Any, Any]] = (
            ("hidden_layer_sizes", fitted.layer_sizes[1:-1], self.layer_sizes[1:-1]),
            ("activation", fitted.activations, self.activations),
            ("loss", fitted.loss, self.loss),
        )
        return ", ".join(f"{name} was {was!r} and is now {now!r}" for name, was, now in pairs if was != now)


class Model:
    """A network with parameters and the state of its training.

    Attributes
    ----------
    architecture : Architecture
    network : Network
    loss : Loss
    state : TrainingState
    split_seed : int
        Seed of the validation split, the same for every fit that goes on from this one.
    learning_rate_init : float
        What the last training started from.
    trainer : Trainer or None
        What trained it, with the `settings` it was built from.
    settings : tuple
        Values of the estimator's parameters that training depends on.
    """

    def __init__(
        self,
        architecture: Architecture,
        network: Network,
        state: TrainingState,
        split_seed: int,
        learning_rate_init: float,
    ) -> None:
        self.architecture = architecture
        self.network = network
        self.state = state
        self.split_seed = split_seed
        self.learning_rate_init = learning_rate_init
        self.trainer: Trainer | None = None
        self.settings: tuple[Any, ...] = ()
        self._buffers: Buffers | None = None
        self._monitor: Monitor | None = None

    @property
    def params(self) -> Parameters:
        """The network's parameters."""
        return self.state.params

    @property
    def loss(self) -> Loss:
        """The loss, with its link."""
        return LOSSES[self.architecture.loss]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The compute type."""
        return self.state.params.vector.dtype

    def buffers_for(self, n_samples: int) -> Buffers:
        """Return memory for batches of `n_samples` rows: the last call's, when it has enough rows."""
        if self._buffers is None or n_samples > self._buffers.n_samples:
            self._buffers = Buffers(Objective(self.network, self.loss), self.params, n_samples)
        return self._buffers

    def monitor_for(self, every: int | None, first_epoch: int) -> Monitor:
        """Return what observes the training: the last call's, so that it goes on counting."""
        if self._monitor is None or self._monitor.every != every:
            self._monitor = Monitor(self.params, every=every, first_epoch=first_epoch)
        return self._monitor

    def with_params(self, vector: FloatArray) -> "Model":
        """Return the same model with other values of its parameters; the rest is shared."""
        state = TrainingState(**{**vars(self.state), "params": self.params.on(vector)})
        return Model(self.architecture, self.network, state, self.split_seed, self.learning_rate_init)

    def to_plain(self) -> dict[str, Any]:
        """Return arrays, numbers, strings, lists and dicts that hold everything."""
        state, architecture = self.state, self.architecture
        return {
            "layer_sizes": list(architecture.layer_sizes),
            "activations": list(architecture.activations),
            "loss": architecture.loss,
            "params": state.params.vector,
            "solver_state": state.solver_state,
            "shuffle_stream": state.rng.bit_generator.state,
            "learning_rate": state.learning_rate,
            "learning_rate_init": self.learning_rate_init,
            "plateau": vars(state.plateau).copy(),
            "samples_seen": state.samples_seen,
            "split_seed": self.split_seed,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Model":
        """Undo :meth:`to_plain`."""
        architecture = Architecture(tuple(plain["layer_sizes"]), tuple(plain["activations"]), plain["loss"])
        network = architecture.build_network()
        rng = np.random.default_rng(0)
        rng.bit_generator.state = plain["shuffle_stream"]
        state = TrainingState(
            params=network.parameters(plain["params"]),
            solver_state=plain["solver_state"],
            rng=rng,
            learning_rate=plain["learning_rate"],
            plateau=Plateau(**plain["plateau"]),
            samples_seen=plain["samples_seen"],
        )
        return cls(architecture, network, state, plain["split_seed"], plain["learning_rate_init"])
