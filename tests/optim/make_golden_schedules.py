"""Make golden_schedules.json: the rates of torch's schedulers over some steps, and its clipped gradients.

Run it with any Python that has torch (made with 2.14), from anywhere:

    python tests/optim/make_golden_schedules.py

torch is imported inside functions only, so that collecting the tests does not need it. Every scheduler works on an
initial rate of 1, so that its rates are factors.
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any

# name: (class of torch.optim.lr_scheduler, settings, number of steps)
RUNS: dict[str, tuple[str, dict[str, Any], int]] = {
    "step": ("StepLR", {"step_size": 4, "gamma": 0.3}, 20),
    "multi_step": ("MultiStepLR", {"milestones": [3, 5, 12], "gamma": 0.2}, 20),
    "exponential": ("ExponentialLR", {"gamma": 0.9}, 20),
    "linear": ("LinearLR", {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 12}, 20),
    "polynomial": ("PolynomialLR", {"total_iters": 15, "power": 2.5}, 20),
    "cosine": ("CosineAnnealingLR", {"T_max": 15, "eta_min": 0.1}, 16),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 1, "eta_min": 0.05}, 23),
    "restarts_doubled": ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.0}, 50),
    "one_cycle": ("OneCycleLR", {"max_lr": 1.0, "total_steps": 21, "pct_start": 0.3}, 21),
    "one_cycle_settings": (
        "OneCycleLR",
        {
            "max_lr": 1.0,
            "total_steps": 30,
            "pct_start": 0.45,
            "div_factor": 10.0,
            "final_div_factor": 100.0,
            "base_momentum": 0.8,
            "max_momentum": 0.9,
        },
        30,
    ),
    "cyclic_triangular": ("CyclicLR", {"base_lr": 0.2, "max_lr": 1.0, "step_size_up": 4, "mode": "triangular"}, 30),
    "cyclic_triangular2": ("CyclicLR", {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "mode": "triangular2"}, 30),
    "cyclic_exponential": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 5, "mode": "exp_range", "gamma": 0.97},
        30,
    ),
}
LOSSES = [1.0, 0.9, 0.89995, 0.9, 0.91, 0.8, 0.8, 0.8, 0.8, 0.79995, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
PLATEAU_RUNS: dict[str, dict[str, Any]] = {
    "plain": {"factor": 0.1, "patience": 1},
    "cooldown": {"factor": 0.5, "patience": 1, "cooldown": 2},
    "minimum": {"factor": 0.2, "patience": 0, "threshold": 0.01, "min_lr": 0.03},
}
GRADIENTS = [[[3.0, -0.2], [0.5, -4.0], [0.05, 1.0]], [0.3, -2.0], [[0.01], [-0.02]]]
VALUE_LIMITS = (0.5, 10.0)
NORM_LIMITS = (0.03, 1.0, 5.0, 10.0)


def optimizer() -> Any:
    """Return an optimizer of one parameter at a rate of 1."""
    import torch

    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)


def rates(scheduled: Any, scheduler: Any, n_steps: int) -> dict[str, list[float]]:
    """Return the rate and the momentum of each step."""
    group, learning_rates, momenta = scheduled.param_groups[0], [], []
    for _ in range(n_steps):
        learning_rates.append(float(group["lr"]))
        momenta.append(float(group["momentum"]))
        scheduled.step()
        with warnings.catch_warnings():
            # OneCycleLR is stepped once after its last step.
            warnings.simplefilter("ignore")
            scheduler.step()
    return {"factors": learning_rates, "momenta": momenta}


def run(name: str) -> dict[str, Any]:
    """Return one scheduler's rates."""
    import torch

    cls, settings, n_steps = RUNS[name]
    scheduled = optimizer()
    scheduler = getattr(torch.optim.lr_scheduler, cls)(scheduled, **settings)
    recorded = rates(scheduled, scheduler, n_steps)
    if cls != "OneCycleLR":
        del recorded["momenta"]
    return {"scheduler": cls, "settings": settings, **recorded}


def warmup_run() -> dict[str, Any]:
    """Return the rates of four steps of warm-up and a cosine of twelve after it."""
    from torch.optim import lr_scheduler

    scheduled = optimizer()
    warmup = lr_scheduler.LinearLR(scheduled, start_factor=0.2, end_factor=1.0, total_iters=4)
    cosine = lr_scheduler.CosineAnnealingLR(scheduled, T_max=12, eta_min=0.0)
    scheduler = lr_scheduler.SequentialLR(scheduled, [warmup, cosine], milestones=[4])
    settings = {"start": 0.2, "duration": 4, "T_max": 12}
    return {"scheduler": "SequentialLR", "settings": settings, "factors": rates(scheduled, scheduler, 16)["factors"]}


def plateau_run(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the rate after each of the losses."""
    import torch

    scheduled = optimizer()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(scheduled, mode="min", **settings)
    factors = []
    for loss in LOSSES:
        scheduler.step(loss)
        factors.append(scheduled.param_groups[0]["lr"])
    return {"settings": settings, "factors": factors}


def clipped(function: str, limit: float, arrays: list[Any]) -> list[Any]:
    """Return gradients after torch's clipping, for all of them together."""
    import torch

    params = [torch.zeros_like(torch.tensor(array)) for array in arrays]
    for param, array in zip(params, arrays, strict=True):
        param.grad = torch.tensor(array)
    getattr(torch.nn.utils, function)(params, limit)
    return [param.grad.tolist() for param in params]


def main() -> None:
    """Write golden_schedules.json next to this file."""
    import torch

    torch.set_default_dtype(torch.float64)
    norms = {str(limit): clipped("clip_grad_norm_", limit, GRADIENTS) for limit in NORM_LIMITS}
    one_by_one = {
        str(limit): [clipped("clip_grad_norm_", limit, [array])[0] for array in GRADIENTS] for limit in NORM_LIMITS
    }
    golden = {
        "made_with": f"torch {torch.__version__}",
        "schedules": {name: run(name) for name in RUNS},
        "warmup": warmup_run(),
        "plateau": {"losses": LOSSES, "runs": {name: plateau_run(each) for name, each in PLATEAU_RUNS.items()}},
        "clipping": {
            "gradients": GRADIENTS,
            "value": {str(limit): clipped("clip_grad_value_", limit, GRADIENTS) for limit in VALUE_LIMITS},
            "global_norm": norms,
            "norm": one_by_one,
        },
    }
    text = json.dumps(golden, indent=1)
    # One vector a line.
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    Path(__file__).with_name("golden_schedules.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
