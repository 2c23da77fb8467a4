"""Whom the speed benchmark compares: one module for each library, one name for each way to use it.

A module has a class ``Peer(case, data, **options)`` with three methods, of which only the second is timed:
``start(seed)`` sets a new network up, ``train(epochs)`` trains it and returns the number of epochs done, and
``predict()`` returns what it predicts for the training rows (None for what is no network).
"""

import os
from typing import Any, NamedTuple

from benchmarks.cases import OPTIONS, Case

__all__ = ["PEERS", "Entry", "environment"]


class Entry(NamedTuple):
    """A peer by name.

    Attributes
    ----------
    module : str
        In this package.
    imports : str
        What it imports, which is timed.
    options : dict
        Arguments of its Peer.
    form : str
        Of the data; see :func:`benchmarks.cases.make_data`.
    case_options, solvers : tuple of str
        What it can train with.
    environment : dict
        Variables that its process is started with.
    """

    module: str
    imports: str
    options: dict[str, Any] = {}
    form: str = "float32"
    case_options: tuple[str, ...] = ("",)
    solvers: tuple[str, ...] = ("adam", "sgd")
    environment: dict[str, str] = {}

    def trains(self, case: Case) -> bool:
        """Tell whether the peer has what the case needs."""
        return case.option in self.case_options and case.solver in self.solvers


SKMLP = Entry("estimators", "skmlp.estimators", {"package": "skmlp"})
SKLEARN = Entry("estimators", "sklearn.neural_network", {"package": "sklearn.neural_network"})
TORCH = Entry("pytorch", "torch", case_options=("", "dropout", "batch normalization"))


def as_is(entry: Entry) -> Entry:
    """Return an estimator with its defaults, Adam among them, on a data frame."""
    return entry._replace(options={**entry.options, "as_is": True}, form="frame", solvers=("adam",))


PEERS = {
    # Its steps are what is timed, however few a case has: for a short training alone they would not be loaded.
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
    """Return the environment of a peer's process: so many threads, and compiled code in a new folder."""
    pools = ("OPENBLAS", "OMP", "MKL", "NUMBA")
    return {
        **os.environ,
        **{f"{pool}_NUM_THREADS": str(threads) for pool in pools},
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false" if threads == 1 else "",
        "JAX_PLATFORMS": "cpu",
        "PYTHONDONTWRITEBYTECODE": "",  # all packages have their bytecode, as installed ones do
        "NUMBA_CACHE_DIR": cache,
        "TORCHINDUCTOR_CACHE_DIR": cache,
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside those that are measured
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **entry.environment,
    }
