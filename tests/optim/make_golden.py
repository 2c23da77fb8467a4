"""Make golden.json: where torch's optimizers are after some steps on one fixed function.

Run it with any Python that has torch and schedulefree (made with 2.14 and 1.4), from anywhere:

    python tests/optim/make_golden.py

They are imported by :func:`main` only, so that collecting the tests does not need them. The function is written down
here in torch and differentiated by torch; the test has its own NumPy gradient. Lion is not part of torch: it is
computed here in plain Python from the paper's pseudo-code (Chen et al., 2023, arXiv 2302.06675, program 1). Of
schedule-free AdamW both points are kept: where gradients are taken, and the average. Muon works on a matrix.
"""

import json
import math
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

START = [-1.2, 1.0, 0.5, -3.0, 2.0, -1.5]
STORED_STEPS = (1, 2, 3, 5, 10, 20, 50, 100, 150, 200)

# name: (torch.optim class, settings). Defaults of both libraries differ, so every setting that matters is written out.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.004}),
    "sgd_momentum": ("SGD", {"lr": 0.002, "momentum": 0.8}),
    "sgd_nesterov": ("SGD", {"lr": 0.002, "momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}),
    "rmsprop_settings": ("RMSprop", {"lr": 0.005, "alpha": 0.9, "eps": 0.1}),
    "rmsprop_centered": ("RMSprop", {"lr": 0.005, "alpha": 0.99, "eps": 1e-8, "centered": True}),
    "rmsprop_momentum": ("RMSprop", {"lr": 0.003, "alpha": 0.99, "eps": 1e-8, "momentum": 0.7}),
    "rmsprop_centered_momentum": (
        "RMSprop",
        {"lr": 0.002, "alpha": 0.95, "eps": 1e-4, "centered": True, "momentum": 0.6},
    ),
    "adagrad": ("Adagrad", {"lr": 0.3, "eps": 1e-10}),
    "adagrad_settings": ("Adagrad", {"lr": 0.2, "eps": 1e-2, "initial_accumulator_value": 0.5}),
    "adadelta": ("Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6}),
    "adadelta_settings": ("Adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-4}),
    "adam": ("Adam", {"lr": 0.05, "betas": (0.9, 0.999), "eps": 1e-8}),
    "adam_settings": ("Adam", {"lr": 0.03, "betas": (0.8, 0.99), "eps": 0.1}),
    "amsgrad": ("Adam", {"lr": 0.05, "betas": (0.9, 0.99), "eps": 1e-8, "amsgrad": True}),
    "adamw": ("AdamW", {"lr": 0.05, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}),
    "nadam": ("NAdam", {"lr": 0.04, "betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 0.004}),
    "nadam_settings": ("NAdam", {"lr": 0.04, "betas": (0.8, 0.99), "eps": 1e-2, "momentum_decay": 0.05}),
    "radam": ("RAdam", {"lr": 0.05, "betas": (0.9, 0.999), "eps": 1e-8}),
    "radam_settings": ("RAdam", {"lr": 0.03, "betas": (0.8, 0.95), "eps": 0.05}),
}
LION_RUNS = {
    "lion": {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.0},
    "lion_decay": {"lr": 0.02, "betas": (0.95, 0.9), "weight_decay": 0.3},
}
SCHEDULE_FREE_RUNS = {
    "schedule_free_adamw": {"lr": 0.05},
    "schedule_free_adamw_settings": {
        "lr": 0.03,
        "betas": (0.8, 0.99),
        "eps": 1e-2,
        "weight_decay": 0.2,
        "warmup_steps": 30,
        "r": 1.5,
        "weight_lr_power": 1.0,
    },
}
# The shape of the matrix, (n_in, n_out), and the settings.
MUON_RUNS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "muon_wide": ((3, 5), {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.1, "adjust_lr_fn": "original"}),
    "muon_tall": ((6, 2), {"lr": 0.05, "momentum": 0.8, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}),
    "muon_square": (
        (4, 4),
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "adjust_lr_fn": "original", "nesterov": False, "ns_steps": 3},
    ),
}


def function(x: Any) -> Any:
    """A curved valley, a quadratic of condition 5000, and two coupled waves, of a torch vector of length 6."""
    import torch

    valley = (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2
    quadratic = 0.5 * (50 * x[2] ** 2 + 0.01 * x[3] ** 2 + x[2] * x[3])
    waves = 3 * torch.sin(x[4]) * torch.cos(0.5 * x[5]) + 0.05 * (x[4] ** 2 + x[5] ** 2) + 0.2 * torch.sin(x[3])
    return valley + quadratic + waves


def torch_run(name: str, start: list[float]) -> dict[str, list[float]]:
    """Return the parameters at the stored steps of one run."""
    import torch

    cls, settings = RUNS[name]
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, cls)([x], **settings)
    stored = {}
    for step in range(1, max(STORED_STEPS) + 1):
        optimizer.zero_grad()
        function(x).backward()
        optimizer.step()
        if step in STORED_STEPS:
            stored[str(step)] = x.tolist()
    return stored


def gradient(x: list[float]) -> list[float]:
    """Return torch's gradient of the function."""
    import torch

    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    function(point).backward()
    return point.grad.tolist()


def lion_run(name: str, start: list[float]) -> dict[str, list[float]]:
    """Return the parameters at the stored steps, by the paper's program 1."""
    lr, (beta_1, beta_2), decay = (LION_RUNS[name][key] for key in ("lr", "betas", "weight_decay"))
    theta, m = list(start), [0.0] * len(start)
    stored = {}
    for step in range(1, max(STORED_STEPS) + 1):
        for i, g in enumerate(gradient(theta)):
            c = beta_1 * m[i] + (1 - beta_1) * g
            sign = (c > 0) - (c < 0)
            theta[i] = theta[i] - lr * (sign + decay * theta[i])
            m[i] = beta_2 * m[i] + (1 - beta_2) * g
        if step in STORED_STEPS:
            stored[str(step)] = list(theta)
    return stored


def schedule_free_run(name: str, start: list[float]) -> dict[str, dict[str, list[float]]]:
    """Return both points at the stored steps, by the authors' reference implementation."""
    import torch
    from schedulefree import AdamWScheduleFreeReference

    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = AdamWScheduleFreeReference([x], **SCHEDULE_FREE_RUNS[name])
    optimizer.train()
    stored: dict[str, dict[str, list[float]]] = {"params": {}, "averages": {}}
    for step in range(1, max(STORED_STEPS) + 1):
        optimizer.zero_grad()
        function(x).backward()
        optimizer.step()
        if step in STORED_STEPS:
            stored["params"][str(step)] = x.tolist()
            stored["averages"][str(step)] = optimizer.state[x]["x"].tolist()
    return stored


def waves(n_rows: int, n_columns: int, phase: float) -> list[list[float]]:
    """Return a matrix of numbers between -1 and 1."""
    return [[math.sin(1.0 + 2.0 * i + 3.0 * j * j + phase) for j in range(n_columns)] for i in range(n_rows)]


def muon_run(name: str) -> dict[str, Any]:
    """Return a matrix of shape (n_in, n_out) at the stored steps of torch's Muon, in float64, and where it started.

    torch's matrices have the shape (n_out, n_in). The function is the sum of log cosh(P W - Q).
    """
    import torch

    (n_in, n_out), settings = MUON_RUNS[name]
    P, Q = (torch.tensor(waves(7, n, phase), dtype=torch.float64) for n, phase in ((n_in, 0.3), (n_out, 0.7)))
    start = waves(n_in, n_out, 0.0)
    weight = torch.tensor(start, dtype=torch.float64).T.contiguous().requires_grad_()
    optimizer, stored = torch.optim.Muon([weight], **settings), {}
    for step in range(1, 51):
        optimizer.zero_grad()
        torch.log(torch.cosh(P @ weight.T - Q)).sum().backward()
        optimizer.step()
        if step in STORED_STEPS:
            stored[str(step)] = weight.T.tolist()
    return {"settings": settings, "P": P.tolist(), "Q": Q.tolist(), "start": start, "weights": stored}


def main() -> None:
    """Write golden.json next to this file."""
    import torch

    # torch keeps NAdam's product of momenta in the default dtype, whatever the parameters' own.
    torch.set_default_dtype(torch.float64)
    torch.Tensor.bfloat16 = torch.Tensor.clone  # what Muon orthogonalizes keeps its precision
    runs = {name: {"settings": settings, "params": torch_run(name, START)} for name, (_, settings) in RUNS.items()}
    runs |= {name: {"settings": settings, "params": lion_run(name, START)} for name, settings in LION_RUNS.items()}
    runs |= {
        name: {"settings": settings, **schedule_free_run(name, START)} for name, settings in SCHEDULE_FREE_RUNS.items()
    }
    points = [START, *runs["sgd"]["params"].values()]
    golden = {
        "made_with": f"torch {version('torch').partition('+')[0]}, schedulefree {version('schedulefree')}",
        "start": START,
        "gradients": [{"at": point, "gradient": gradient(point)} for point in points],
        "runs": runs,
        "matrices": {name: muon_run(name) for name in MUON_RUNS},
    }
    text = json.dumps(golden, indent=1)
    # One vector a line.
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    Path(__file__).with_name("golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
