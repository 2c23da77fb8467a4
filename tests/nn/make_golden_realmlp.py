"""Make golden_realmlp.json: what pytabkit's RealMLP computes, layer by layer and in a whole training.

Run it with any Python that has pytabkit and its models (made with 1.7.3), from anywhere:

    python tests/nn/make_golden_realmlp.py

They are imported inside functions only, so that collecting the tests does not need them. Everything is computed in
float64, though the data are encoded in float32. What is drawn is rounded and stored, so that the tests need no random
numbers.
"""

import json
import re
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

N_ROWS, N_CLASSES = 41, 3
# RealMLP-TD but for sizes, dropout and weight decay.
SETTINGS: dict[str, Any] = {
    "hidden_sizes": [5, 4],
    "embedding_size": 2,
    "plr_hidden_1": 4,
    "plr_hidden_2": 3,
    "p_drop": 0.0,
    "wd": 0.0,
    "batch_size": 16,
    "n_epochs": 6,
    "val_fraction": 0.2,
    "random_state": 0,
    "device": "cpu",
}


def both_ways(layer: Any, x: Any) -> dict[str, Any]:
    """Return output and gradients of a layer for `x` and a drawn upstream gradient."""
    import torch

    x = x.clone().requires_grad_(True)
    output = layer.forward_cont(x)
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


def layers() -> dict[str, Any]:
    """Return both passes of every layer."""
    import torch
    from pytabkit.models.nn_models import activations, base, nn

    def drawn(*shape: int) -> Any:
        return base.Variable(torch.randn(shape).round(decimals=3))

    class Affine(base.Layer):  # a product and a bias, which are two layers there
        def __init__(self) -> None:
            super().__init__()
            weight, bias = drawn(4, 3), drawn(1, 3)
            self.product, self.shift = base.WeightLayer(weight, factor=0.5), base.BiasLayer(bias)

        def forward_cont(self, x: Any) -> Any:
            return self.shift.forward_cont(self.product.forward_cont(x))

    mixed = {"weight_2": drawn(2, 4, 3), "bias_2": drawn(2, 1, 3)}
    pbld = nn.PLREmbeddingsLayerCosBias(
        None, drawn(2, 1, 4), drawn(2, 1, 4), **mixed, plr_act_name="linear", plr_use_densenet=True
    )
    selu, mish = torch.selu, activations.mish
    return {
        "pbld": both_ways(pbld, torch.randn(6, 2).round(decimals=3)),
        "scale": both_ways(base.ScaleLayer(drawn(1, 3)), torch.randn(5, 3).round(decimals=3)),
        "dense": both_ways(Affine(), torch.randn(5, 4).round(decimals=3)),
        "parametric_selu": both_ways(
            activations.ParametricActivationLayer(selu, drawn(1, 3)), 2.0 * torch.randn(7, 3).round(decimals=3)
        ),
        "parametric_mish": both_ways(
            activations.ParametricActivationLayer(mish, drawn(1, 3)), 2.0 * torch.randn(7, 3).round(decimals=3)
        ),
    }


def scaling() -> dict[str, Any]:
    """Return columns before and after robust scaling and smooth clipping, the last rows not among those learned from.

    The columns: normal, mostly one value, constant, two values.
    """
    import torch
    from pytabkit.models.data.data import DictDataset, TensorInfo
    from pytabkit.models.nn_models import models, pipeline

    n = 20
    learned = torch.stack(
        [
            (3.0 * torch.randn(n) - 5.0).round(decimals=3),
            torch.tensor([1.0] * (n - 3) + [9.0, -4.0, 2.0]),
            torch.full((n,), 7.0),
            (torch.arange(n) % 3 == 0).double(),
        ],
        dim=1,
    )
    tensors = {"x_cont": learned}
    data = DictDataset(tensors, {"x_cont": TensorInfo(feat_shape=[4])}, "cpu", n)
    centered = pipeline.MedianCenterFactory().fit(data)
    scaled = pipeline.RobustScaleFactory().fit(centered.forward_ds(data))
    rows = torch.cat([learned, torch.tensor([[100.0, -3.0, 8.0, 0.5]])])
    output = models.smooth_clip_func(scaled.forward_cont(centered.forward_cont(rows)))
    return {"learned_from": learned.tolist(), "rows": rows.tolist(), "output": output.tolist()}


def table() -> Any:
    """Return three numbers, a category of three values, one of two, and one of ten, which is embedded; and classes."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "normal": rng.normal(size=N_ROWS),
            "skewed": rng.exponential(size=N_ROWS),
            "far": rng.normal(5.0, 3.0, N_ROWS),
            "three": pd.Categorical(rng.integers(0, 3, N_ROWS)),
            "two": pd.Categorical(rng.integers(0, 2, N_ROWS)),
            "ten": pd.Categorical(rng.permutation(np.arange(N_ROWS) % 10)),
        }
    ), rng.integers(0, N_CLASSES, N_ROWS)


class Recorder:
    """Stands in for a training step and keeps what goes in and what comes out."""

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self.parts: dict[str, Any] = {}
        self.rows: list[Any] = []
        self.losses: list[float] = []
        self.rates: list[float] = []

    def step(self, module: Any, batch: dict[str, Any], index: int, original: Any) -> Any:
        """Take a step of a training."""
        import torch

        if not self.start:
            module.model.double()
            with torch.no_grad():
                for value in module.model.parameters():
                    value.copy_(value.round(decimals=5))
            self.start = self.params(module)
            for name, part in module.model.named_modules():
                if type(part).__name__ == "FunctionLayer":  # the smooth clip, after which nothing is fixed
                    part.register_forward_hook(self.kept(name))
            module.model.register_forward_hook(self.kept("model"))
        batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
        y = batch["y"]
        # The rate of the last getter, which is that of a bias and has no factor.
        self.rates.append(float(module.optimizers().hyper_getters["lr"][-1]()))
        loss = original(module, batch, index)
        numbers, categories = (self.parts[name] for name in sorted(set(self.parts) - {"model"}))
        target = y if not y.is_floating_point() else self.parts["model"]["y"]
        self.rows.append(torch.cat([numbers["x_cont"], categories["x_cont"], categories["x_cat"], target], -1)[0])
        self.losses.append(float(loss))
        self.end = self.params(module)
        return loss

    def kept(self, name: str) -> Any:
        """Return a hook that keeps the output of a part of the model."""

        def keep(part: Any, given: Any, output: Any) -> None:
            self.parts[name] = output

        return keep

    @staticmethod
    def params(module: Any) -> dict[str, Any]:
        """Return the parameters by the places where they belong."""
        return {str(p.context.scope): p.detach()[0].tolist() for p in module.model.parameters()}

    def result(self) -> dict[str, Any]:
        """Return what was kept; rows that return in several batches once, and the numbers of those of each batch."""
        import torch

        rows, places = torch.unique(torch.cat(self.rows), dim=0, return_inverse=True)
        return {
            "rows": rows.tolist(),
            "batches": [each.tolist() for each in places.split([len(each) for each in self.rows])],
            "learning_rates": self.rates,
            "losses": self.losses,
            "start": self.start,
            "end": self.end,
        }


def training(estimator: Any, X: Any, y: Any) -> dict[str, Any]:
    """Return all steps of a training."""
    from unittest.mock import patch

    from pytabkit.models.training.lightning_modules import TabNNModule

    recorder, original = Recorder(), TabNNModule.training_step
    recorded = lambda module, batch, index: recorder.step(module, batch, index, original)  # noqa: E731
    with patch.object(TabNNModule, "training_step", recorded):
        estimator.fit(X, y)
    return recorder.result()


def main() -> None:
    """Write golden_realmlp.json next to this file."""
    import torch
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    warnings.simplefilter("ignore")
    X, codes = table()
    trainings = {
        "classification": training(RealMLP_TD_Classifier(**SETTINGS), X, codes),
        "regression": training(RealMLP_TD_Regressor(**SETTINGS), X, X["normal"] * X["skewed"] + 0.1 * codes),
    }
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    golden = {
        "made_with": f"pytabkit {metadata.version('pytabkit')}, torch {torch.__version__}",
        "layers": layers(),
        "scaling": scaling(),
        "trainings": trainings,
    }
    text = json.dumps(golden, indent=1)
    # One vector a line, with as many digits as the comparisons need.
    text = re.sub(r"-?\d+\.\d+(e-?\d+)?", lambda number: repr(float(f"{float(number[0]):.12g}")), text)
    text = re.sub(r"\[[^][{}]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    Path(__file__).with_name("golden_realmlp.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
