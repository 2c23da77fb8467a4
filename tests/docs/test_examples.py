"""The examples compute what their texts claim."""

import gzip
import sys
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import pytest

from skmlp.nn.activations import ACTIVATIONS
from skmlp.nn.initializers import Constant
from skmlp.nn.losses import SquaredError
from skmlp.nn.network import initialize, multilayer_perceptron
from skmlp.nn.objective import Objective
from skmlp.optim import SOLVERS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


with mock.patch.object(sys, "path", [str(EXAMPLES), *sys.path]):
    names = ("gradient_flow", "two_layer_classifier", "regression_and_symmetry")
    gradient_flow, two_layer, symmetry = map(import_module, names)


@pytest.fixture(scope="module")
def flows():
    return gradient_flow.flow_table()


@pytest.fixture(scope="module")
def trainings():
    return gradient_flow.training_table()


class TestGradientFlow:
    def test_table_has_every_activation_and_initializer(self, flows):
        assert set(flows) == set(product(ACTIVATIONS, gradient_flow.initializers()))

    @pytest.mark.parametrize("activation", ["tanh", "gelu"])
    def test_norms_agree_with_the_library(self, activation):
        norms = gradient_flow.gradient_flow(activation, "he_normal", depth=3, width=5).norms
        rng = np.random.default_rng(0)
        network = multilayer_perceptron([5, 5, 5, 5, 1], [ACTIVATIONS[activation]] * 3)
        params, grad = network.parameters(dtype=np.float64), network.parameters(dtype=np.float64)
        initialize(network, params, rng, "he_normal")
        X, y = rng.standard_normal((gradient_flow.ROWS, 5)), rng.standard_normal((gradient_flow.ROWS, 1))
        objective = Objective(network, SquaredError())
        workspace = objective.workspace(1, np.float64)
        squares = np.zeros(3)
        for row in range(len(X)):
            objective.value_and_gradient(params, X[row : row + 1], y[row : row + 1], None, workspace, grad)
            squares += [float((W**2).sum()) for W in grad.weights[:3]]
        np.testing.assert_allclose(norms, np.sqrt(squares / len(X)), rtol=1e-10)

    def test_measured_factor_per_layer_agrees_with_theory(self, flows):
        for names, flow in flows.items():
            assert flow.factor == pytest.approx(flow.theory, rel=0.1), names

    @pytest.mark.parametrize("initializer", ["glorot_uniform", "glorot_normal", "he_normal", "orthogonal", "small"])
    def test_gradient_of_logistic_layers_vanishes(self, flows, initializer):
        norms = flows["logistic", initializer].norms
        assert norms[0] / norms[-1] < 1e-6
        assert gradient_flow.verdict(flows["logistic", initializer]) == "vanishing"

    @pytest.mark.parametrize("activation", list(ACTIVATIONS))
    def test_small_weights_make_the_gradient_vanish_for_every_activation(self, flows, activation):
        assert flows[activation, "small"].norms[0] < 1e-6 * flows[activation, "he_normal"].norms[0]
        assert flows[activation, "small"].factor < 0.15

    def test_large_weights_make_the_gradient_explode(self, flows):
        tanh = flows["tanh", "large"].norms
        assert tanh[0] / tanh[-1] > 1e3
        assert gradient_flow.verdict(flows["tanh", "large"]) == "exploding"
        # With relu, activations and error signals grow alike, so the gradients of all layers are large.
        assert min(flows["relu", "large"].norms) > 1e3 * max(flows["relu", "he_normal"].norms)

    @pytest.mark.parametrize(("initializer", "seed"), [("he_normal", 0), ("he_uniform", 0), ("he_normal", 1)])
    def test_he_weights_keep_the_gradient_of_relu_layers_within_a_factor_of_ten(self, initializer, seed):
        flow = gradient_flow.gradient_flow("relu", initializer, seed=seed)
        assert 0.1 <= flow.norms[0] / flow.norms[-1] <= 10.0
        assert flow.theory == pytest.approx(1.0, abs=0.01)
        assert gradient_flow.verdict(flow) == "healthy"

    def test_zero_weights_have_no_error_signal(self, flows):
        assert all(flows[activation, "zeros"].factor == 0.0 for activation in ACTIVATIONS)
        assert gradient_flow.verdict(flows["relu", "zeros"]) == "dead"

    def test_every_solver_lowers_loss_and_gradient(self, trainings):
        assert set(trainings) == set(SOLVERS)
        for solver, row in trainings.items():
            assert row.last_loss < 0.5 * row.first_loss, solver
            assert row.last_norm < row.first_norm, solver


class TestTwoLayerClassifier:
    @pytest.fixture
    def digits(self, monkeypatch):
        monkeypatch.delenv("SKMLP_FASHION_MNIST", raising=False)
        monkeypatch.delenv("SKMLP_MNIST", raising=False)
        monkeypatch.setattr(two_layer, "DEBIAN_FOLDER", "/nowhere")
        return two_layer.load_images()

    def test_closed_forms_agree_with_the_library(self, digits):
        report = two_layer.compare(digits)
        assert set(report) == {"loss", "dW1", "db1", "dW2", "db2", "one step", "20 steps"}
        assert max(report.values()) < 1e-12

    def test_gradient_descent_lowers_the_loss_in_every_step_and_learns_the_digits(self, digits):
        outcome = two_layer.train(digits)
        assert outcome.test_accuracy > 0.9
        assert np.all(np.diff(outcome.loss) < 0.0)

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("variable", ["SKMLP_FASHION_MNIST", "SKMLP_MNIST"])
    def test_idx_files_are_read(self, digits, monkeypatch, tmp_path, compressed, variable):
        rng = np.random.default_rng(0)
        images = {
            "train": rng.integers(0, 256, (30, 4, 4), np.uint8),
            "t10k": rng.integers(0, 256, (9, 4, 4), np.uint8),
        }
        labels = {part: rng.integers(0, 10, len(pixels), np.uint8) for part, pixels in images.items()}
        for part in images:
            for name, array in (("images-idx3", images[part]), ("labels-idx1", labels[part])):
                header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
                content = header + array.tobytes()
                path = tmp_path / f"{part}-{name}-ubyte{'.gz' if compressed else ''}"
                path.write_bytes(gzip.compress(content) if compressed else content)
        monkeypatch.setenv(variable, str(tmp_path))
        read = two_layer.load_images(n_train=20, n_test=5)
        assert read.name == ("MNIST" if variable == "SKMLP_MNIST" else "Fashion-MNIST")
        np.testing.assert_array_equal(read.X_train, images["train"][:20].reshape(20, 16) / 255.0)
        np.testing.assert_array_equal(read.X_test, images["t10k"][:5].reshape(5, 16) / 255.0)
        np.testing.assert_array_equal(read.y_train, labels["train"][:20])
        np.testing.assert_array_equal(read.y_test, labels["t10k"][:5])

    def test_errors_name_a_missing_part_and_an_invalid_file(self, tmp_path):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(b"something else")
        with pytest.raises(FileNotFoundError, match="'train'"):
            two_layer.load_part(tmp_path, "train", 10)
        with pytest.raises(ValueError, match="not an IDX file"):
            two_layer.read_idx(tmp_path / "train-images-idx3-ubyte")


class TestRegressionAndSymmetry:
    def test_recursion_agrees_with_the_library(self):
        result = symmetry.compare_recursion()
        assert len(result.delta_norms) == 4
        assert max(result.loss_difference, *result.weight_differences, *result.bias_differences) < 1e-12

    def test_xor_needs_hidden_units(self):
        model, line = symmetry.solve_xor(), symmetry.linear_xor()
        assert model.score(symmetry.XOR_X, symmetry.XOR_Y) == 1.0
        assert np.abs(model.predict_proba(symmetry.XOR_X)[:, 1] - symmetry.XOR_Y).max() < 0.05
        assert line.score(symmetry.XOR_X, symmetry.XOR_Y) <= 0.75

    @pytest.mark.parametrize("value", [0.5, -1.0])
    def test_equal_units_stay_equal_bit_for_bit(self, value):
        model = symmetry.train_xor(Constant(value))
        assert symmetry.units_are_equal(model)
        assert not (model.coefs_[0] == np.float32(value)).any()  # they did move
        assert model.score(symmetry.XOR_X, symmetry.XOR_Y) <= 0.75

    def test_random_units_differ_and_solve_xor(self):
        model = symmetry.train_xor("glorot_uniform")
        assert not symmetry.units_are_equal(model)
        assert len(np.unique(symmetry.hidden_units(model), axis=0)) == 4
        assert model.score(symmetry.XOR_X, symmetry.XOR_Y) == 1.0


@pytest.mark.parametrize(
    ("module", "tables"),
    [
        (gradient_flow, ["Gradient norm by layer", "vanishing", "exploding", "healthy", "Factor per layer", *SOLVERS]),
        (two_layer, ["rows to train on", "dW1", "20 steps", "accuracy"]),
        (symmetry, ["norm of delta", "XOR: probability", "equal units: True", "equal units: False"]),
    ],
    ids=lambda value: value.__name__ if isinstance(value, ModuleType) else "",
)
def test_main_prints_its_tables(module, tables, capsys, flows, trainings, monkeypatch):
    monkeypatch.setattr(gradient_flow, "flow_table", lambda: flows)
    monkeypatch.setattr(gradient_flow, "training_table", lambda: trainings)
    module.main()
    printed = capsys.readouterr()
    assert all(text in printed.out for text in tables)
    assert "nan" not in printed.out
    assert printed.err == ""
