"""Make golden_tabm.json: bins and embeddings of numbers that TabM uses, forward and backward.

Run it with any Python that has torch and rtdl_num_embeddings (made with 0.0.12), from anywhere:

    python tests/nn/make_golden_tabm.py

They are imported inside functions only, so that collecting the tests does not need them. Everything is float64. What is
drawn is rounded and stored, so that the tests need no random numbers.
"""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

N_ROWS, N_BINS, DIMENSION = 30, 5, 3


def both_ways(layer: Any, x: Any) -> dict[str, Any]:
    """Return output and gradients of a layer for `x` and a drawn upstream gradient."""
    import torch

    x = x.clone().requires_grad_(True)
    output = layer(x)
    upstream = torch.randn(output.shape).round(decimals=3)
    output.backward(upstream)
    named = dict(layer.named_parameters())
    return {
        "input": x.tolist(),
        "upstream": upstream.tolist(),
        "params": {name: value.tolist() for name, value in named.items()},
        "output": output.tolist(),
        "input_gradient": x.grad.tolist(),
        "gradients": {name: value.grad.tolist() for name, value in named.items()},
    }


def redraw(layer: Any) -> Any:
    """Give all parameters new values: those of a start are special."""
    import torch

    with torch.no_grad():
        for value in layer.parameters():
            value.copy_(torch.randn(value.shape).round(decimals=3))
    return layer


def piecewise_linear() -> dict[str, Any]:
    """Return bins and both passes of the embedding, version B, with numbers at edges and beyond them.

    The features: normal, few values, two values, mostly one value.
    """
    import torch
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings, compute_bins

    learned = torch.stack(
        [
            torch.randn(N_ROWS).round(decimals=2),
            torch.randint(0, 4, (N_ROWS,)).double(),
            (torch.rand(N_ROWS) < 0.5).double(),
            torch.where(torch.rand(N_ROWS) < 0.7, 1.0, 3.0 * torch.randn(N_ROWS).round(decimals=2)),
        ],
        dim=1,
    )
    bins = compute_bins(learned, N_BINS)
    layer = redraw(PiecewiseLinearEmbeddings(bins, DIMENSION, activation=False, version="B"))
    # Between the edges: at an edge, automatic differentiation takes half of both slopes.
    rows = torch.cat([torch.randn(6, 4), torch.tensor([[-9.0] * 4, [9.0] * 4])]).round(decimals=3) + 0.0005
    at_edges = torch.stack([torch.cat([each, each[-1:].repeat(N_BINS + 1 - len(each))]) for each in bins], dim=1)
    return {
        "learned_from": learned.tolist(),
        "bins": [each.tolist() for each in bins],
        **both_ways(layer, rows),
        "at_edges": layer(at_edges).tolist(),
    }


def periodic() -> dict[str, Any]:
    """Return both passes of cosines and sines of every number, before the layer that mixes them."""
    import torch
    from rtdl_num_embeddings import PeriodicEmbeddings

    layer = PeriodicEmbeddings(2, n_frequencies=3, lite=False).periodic
    return both_ways(redraw(layer), torch.randn(6, 2).round(decimals=3))


def main() -> None:
    """Write golden_tabm.json next to this file."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    golden = {
        "made_with": f"rtdl_num_embeddings {metadata.version('rtdl_num_embeddings')}, torch {torch.__version__}",
        "piecewise_linear": piecewise_linear(),
        "periodic": periodic(),
    }
    text = json.dumps(golden, indent=1)
    # One vector a line, with as many digits as the comparisons need.
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: repr(float(f"{float(number[0]):.12g}")), text)
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    Path(__file__).with_name("golden_tabm.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
