"""Make golden_normalization.json: what torch's BatchNorm1d and LayerNorm compute, forward and backward.

Run it with any Python that has torch (made with 2.14), from anywhere:

    python tests/nn/make_golden_normalization.py

torch is imported inside functions only, so that collecting the tests does not need it. Everything is float64. Inputs,
upstream gradients, weights and biases are drawn once, rounded and stored, so that the test needs no random numbers.
"""

import json
import re
from pathlib import Path
from typing import Any

N_FEATURES = 3
BATCH_SIZES = (5, 7, 2, 5)

# torch's momentum is the fraction of the new batch in the running statistics.
BATCH_NORM_RUNS: dict[str, dict[str, float]] = {
    "default": {"momentum": 0.1, "eps": 1e-5},
    "settings": {"momentum": 0.3, "eps": 0.05},
}
# name: (number of rows, number of features, eps)
LAYER_NORM_RUNS: dict[str, tuple[int, int, float]] = {
    "three_features": (5, 3, 1e-5),
    "four_features": (6, 4, 1e-5),
    "four_features_large_eps": (3, 4, 0.1),
}


def rows(n_rows: int, n_features: int) -> Any:
    """Return features of unlike means and spreads."""
    import torch

    spread = torch.tensor([0.5, 2.0, 10.0, 1.0], dtype=torch.float64)[:n_features]
    mean = torch.tensor([0.0, -3.0, 20.0, 0.7], dtype=torch.float64)[:n_features]
    return (mean + spread * torch.randn(n_rows, n_features)).round(decimals=3)


def set_affine(layer: Any) -> None:
    """Give the layer a weight and a bias that are neither 1 nor 0; one weight is negative."""
    import torch

    n_features = layer.weight.numel()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.5, -0.7, 0.25, 2.0])[:n_features])
        layer.bias.copy_(torch.tensor([0.3, -1.1, 4.0, -0.2])[:n_features])


def both_ways(layer: Any, x: Any) -> dict[str, Any]:
    """Return output and gradients of the layer for `x` and a drawn upstream gradient."""
    import torch

    x = x.clone().requires_grad_(True)
    upstream = torch.randn(x.shape).round(decimals=3)
    layer.zero_grad()
    output = layer(x)
    output.backward(upstream)
    return {
        "input": x.tolist(),
        "upstream": upstream.tolist(),
        "output": output.tolist(),
        "input_gradient": x.grad.tolist(),
        "weight_gradient": layer.weight.grad.tolist(),
        "bias_gradient": layer.bias.grad.tolist(),
    }


def batch_norm_run(settings: dict[str, float]) -> dict[str, Any]:
    """Return what happens over the training batches, and the output in evaluation afterwards."""
    import torch

    layer = torch.nn.BatchNorm1d(N_FEATURES, **settings)
    set_affine(layer)
    batches = []
    for n_rows in BATCH_SIZES:
        batch = both_ways(layer, rows(n_rows, N_FEATURES))
        running = {"running_mean": layer.running_mean.tolist(), "running_var": layer.running_var.tolist()}
        batches.append({**batch, **running})
    layer.eval()
    x = rows(4, N_FEATURES)
    return {
        "settings": settings,
        "weight": layer.weight.tolist(),
        "bias": layer.bias.tolist(),
        "batches": batches,
        "evaluation": {"input": x.tolist(), "output": layer(x).tolist()},
    }


def layer_norm_run(n_rows: int, n_features: int, eps: float) -> dict[str, Any]:
    """Return output and gradients for one batch."""
    import torch

    layer = torch.nn.LayerNorm(n_features, eps=eps)
    set_affine(layer)
    affine = {"weight": layer.weight.tolist(), "bias": layer.bias.tolist()}
    return {"settings": {"eps": eps}, **affine, **both_ways(layer, rows(n_rows, n_features))}


def main() -> None:
    """Write golden_normalization.json next to this file."""
    import torch

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    golden = {
        "made_with": f"torch {torch.__version__}",
        "batch_norm": {name: batch_norm_run(settings) for name, settings in BATCH_NORM_RUNS.items()},
        "layer_norm": {name: layer_norm_run(*case) for name, case in LAYER_NORM_RUNS.items()},
    }
    text = json.dumps(golden, indent=1)
    # One vector a line.
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    Path(__file__).with_name("golden_normalization.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
