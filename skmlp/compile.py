"""Compile the functions of the training steps ahead, so that no training has to: in a container image, for example.

python -m skmlp.compile [float32] [float64]
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np

from skmlp import compiled
from skmlp.compiled import files, loader
from skmlp.compiled.entries import Entry
from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.front import Front, TableLayout
from skmlp.nn.layers import (
    NORMALIZATIONS,
    NUMERIC_EMBEDDINGS,
    PBLD,
    ActivationLayer,
    Dense,
    Dropout,
    Layer,
    ParametricActivation,
    Residual,
)
from skmlp.nn.losses import LOSSES
from skmlp.nn.network import Network, multilayer_perceptron
from skmlp.optim.solvers import SOLVERS
from skmlp.training.compiled_engine import STEPS
from skmlp.training.compiled_layers import LayerTables
from skmlp.training.compiled_program import loss_kernel
from skmlp.training.compiled_solver import compiled_solver

__all__ = ["DTYPES", "functions", "main", "make_ready"]

DTYPES = ("float32", "float64")


def functions(dtype: str) -> list[Entry]:
    """Return all compiled functions for a dtype: the steps, and every layer, activation, loss and solver by name."""
    layers: list[Layer] = [ActivationLayer(4, activation, consumes_input=True) for activation in ACTIVATIONS.values()]
    layers += [ParametricActivation(4, ACTIVATIONS[name]) for name in ("selu", "mish")]  # those of RealMLP
    layers += [normalization().layer(4) for normalization in NORMALIZATIONS.values()]
    layers += [Dropout(4, 0.5), Residual(4, 1), *(embedding().layer(4) for embedding in NUMERIC_EMBEDDINGS.values())]
    network = Network([part for layer in layers for part in (Dense(layer.n_in, 4), layer, Dense(layer.n_out, 4))])
    params = network.parameters(dtype=np.dtype(dtype))
    tables = [LayerTables(each, each.parameters(dtype=np.dtype(dtype)), 8, 1) for each in _networks_for_tables()]
    losses = [*LOSSES.values(), *(loss.multiclass() for loss in LOSSES.values() if loss.is_classification)]
    solvers = [solver() for solver in SOLVERS.values()]
    compiled_solvers = [compiled_solver(solver, solver.init(params.vector), params.vector) for solver in solvers]
    return list(
        dict.fromkeys(
            [
                STEPS._replace(dtype=dtype),
                *LayerTables(network, params, 8, 1).entries,
                *(entry for table in tables for entry in table.entries),
                *(loss_kernel(loss, dtype) for loss in losses),
                *(solver.entry for solver in compiled_solvers if solver is not None),
            ]
        )
    )


def _networks_for_tables() -> Iterator[Network]:
    """Yield networks with every kind of front layer, and with two to four branches."""
    for one_hot, embedded in (((0, 0), (0, 0)), ((1, 3), (0, 0)), ((1, 3), (1, 20))):
        front = Front(TableLayout(2, 1, one_hot, embedded), PBLD(), input_scale=6.0)
        yield multilayer_perceptron([front.layout.n_columns, 4, 1], [ACTIVATIONS["selu"]], front=front, ntk=True)


def make_ready(dtype: str) -> str:
    """Compile the functions for a dtype that are not on disk; return in words what was done."""
    started = perf_counter()
    wanted = functions(dtype)
    with compiled.loading():
        n_compiled = loader.n_missing(wanted)
        loader.addresses(wanted)
    seconds = perf_counter() - started
    folder = files.folder() or "no folder: none can be written to"
    return f"{dtype}: {n_compiled} of {len(wanted)} functions compiled in {seconds:.1f} s, kept in {folder}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the functions of some dtypes ready, of all by default."""
    parser = argparse.ArgumentParser(prog="python -m skmlp.compile", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "dtypes", nargs="*", metavar="dtype", help=f"of the networks: {' or '.join(DTYPES)}; both by default"
    )
    dtypes = parser.parse_args(arguments).dtypes or DTYPES
    if unknown := sorted(set(dtypes).difference(DTYPES)):
        parser.error(f"a dtype must be one of {', '.join(DTYPES)}; got {', '.join(unknown)}")
    os.environ["SKMLP_COMPILED"] = "1"
    try:
        compiled.why_not()  # without numba an error that says what to install
        for dtype in dtypes:
            print(make_ready(dtype), flush=True)
    except (ImportError, RuntimeError) as error:
        parser.exit(1, f"Not all functions were compiled. {error}\n")


if __name__ == "__main__":
    main()
