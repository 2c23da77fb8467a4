"""The peers of the speed benchmark: a module for each library, a name for each way to use it.

A module has a class ``Peer(case, data, **options)`` with three methods, of which only the second is timed:
``start(seed)`` initializes a network, ``train(epochs)`` trains it and returns the number of epochs done, and
``predict()`` returns the predictions for the training rows (None if there is no network).
"""

import os
from typing import Any, NamedTuple

from benchmarks.cases import OPTIONS, Case


class Entry(NamedTuple):
    """A peer: its module, how it is used, and what it supports."""

    module: str  # in this package
    imports: str  # the module whose import is timed
    options: dict[str, Any] = {}  # arguments of its Peer
    form: str = "float32"  # of the data, see benchmarks.cases.make_data
    case_options: tuple[str, ...] = ("",)
    solvers: tuple[str, ...] = ("adam", "sgd")
    environment: dict[str, str] = {}  # of its process

    def trains(self, case: Case) -> bool:
        """Return whether the peer supports the case."""
        return case.option in self.case_options and case.solver in self.solvers


SKMLP = Entry("estimators", "skmlp.estimators", {"package": "skmlp"})
SKLEARN = Entry("estimators", "sklearn.neural_network", {"package": "sklearn.neural_network"})
TORCH = Entry("pytorch", "torch", case_options=("", "dropout", "batch normalization"))


def as_is(entry: Entry) -> Entry:
    """Return an estimator with its defaults, on a data frame."""
    return entry._replace(options={**entry.options, "as_is": True}, form="frame", solvers=("adam",))


PEERS = {
    # Compiled steps are timed even in short trainings, which would not load them by default.
    "skmlp": SKMLP._replace(case_options=("", *OPTIONS), environment={"SKMLP_COMPILED": "1"}),
    "skmlp-numpy": SKMLP._replace(case_options=("", *OPTIONS), environment={"SKMLP_COMPILED": "0"}),
    "sklearn-float32": SKLEARN,
    "sklearn-float64": SKLEARN._replace(form="float64"),
    "skmlp-frame": as_is(SKMLP),
    "sklearn-frame": as_is(SKLEARN),
    "torch": TORCH,
    "torch-compile": TORCH._replace(options={"compiled": True}),
    "jax": Entry("jax_scan", "jax"),
    "limit": Entry("products", "numpy"),
}


def environment(entry: Entry, threads: int, cache: str) -> dict[str, str]:
    """Return the environment of a peer's process, with the number of threads and the cache for compiled code."""
    pools = ("OPENBLAS", "OMP", "MKL", "NUMBA")
    return {
        **os.environ,
        **{f"{pool}_NUM_THREADS": str(threads) for pool in pools},
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false" if threads == 1 else "",
        "JAX_PLATFORMS": "cpu",
        "PYTHONDONTWRITEBYTECODE": "",  # bytecode is cached, as in an installation
        "NUMBA_CACHE_DIR": cache,
        "TORCHINDUCTOR_CACHE_DIR": cache,
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no compilers in the background
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **entry.environment,
    }
