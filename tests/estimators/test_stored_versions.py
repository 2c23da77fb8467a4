"""What was stored by another version is read, or refused in words that tell the way out."""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning

import skmlp
from skmlp import MLPClassifier, MLPRegressor
from skmlp.nn.activations import ACTIVATIONS, ReLU
from skmlp.nn.layers import NORMALIZATIONS, NUMERIC_EMBEDDINGS, PBLD, BatchNorm, EmbedCategories
from skmlp.nn.losses import LOSSES, Huber
from skmlp.optim import SCHEDULES, SOLVERS

X = np.random.default_rng(0).standard_normal((40, 3))
Y = np.arange(40) % 3
BOTH = pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])


def _fitted(cls: Any = MLPClassifier, **params: Any) -> Any:
    estimator = cls(**{"hidden_layer_sizes": (4,), "batch_size": 10, "random_state": 0, "monitor": 3, **params})
    return _train(_train(estimator))


def _train(estimator: Any) -> Any:
    return estimator.partial_fit(X, Y, **({"classes": [0, 1, 2]} if isinstance(estimator, MLPClassifier) else {}))


def _loaded(estimator: Any, change: Callable[[dict[str, Any]], object] = lambda state: None) -> Any:
    """Store and load an estimator, as pickle does, with a change to what is stored."""
    state = copy.deepcopy(estimator.__getstate__())
    change(state)
    loaded = object.__new__(type(estimator))
    loaded.__setstate__(state)
    return loaded


# What formats have in addition to those before.
SINCE: dict[int, list[str]] = {
    2: ["format", "schedule_in_words", "monitor", "is_long"],
    3: ["parametrization", "layout", "numeric_embedding", "categorical_embedding", "input_scale"],
}
# Parameters that the constructor has had since the third format.
PARAMETERS = [
    *("categorical_features", "max_categories", "missing", "scaling", "numeric_embedding", "categorical_embedding"),
    *("input_scale", "parametrization"),
]


def _make_old(state: dict[str, Any], written: int) -> None:
    """Make it what was stored in the first or second format."""
    stored = state["_stored_model"]
    for name in ["_table", *PARAMETERS]:
        del state[name]
    for later in range(written + 1, 4):
        for key in SINCE[later]:
            del stored[key]
    if written == 1:
        del state["_skmlp_version"], state["_sklearn_version"]
    else:
        stored["format"] = written


@BOTH
def test_versions_are_stored_but_not_set_on_a_loaded_estimator(cls: Any) -> None:
    for estimator in (cls(), _fitted(cls)):
        state = estimator.__getstate__()
        assert state["_skmlp_version"] == skmlp.__version__
        assert state["_sklearn_version"] == sklearn.__version__
        assert vars(_loaded(estimator)).keys() == vars(estimator).keys()
    assert isinstance(state["_stored_model"]["format"], int)


@BOTH
@pytest.mark.parametrize("name", ["_skmlp_version", "_sklearn_version"])
def test_loading_warns_about_another_version(cls: Any, name: str) -> None:
    estimator = _fitted(cls)
    with pytest.warns(InconsistentVersionWarning) as caught:
        loaded = _loaded(estimator, lambda state: state.update({name: "0.0.7"}))
    assert len(caught) == 1
    warning: Any = caught[0].message
    stored_with = {"_skmlp_version": skmlp.__version__, "_sklearn_version": sklearn.__version__, name: "0.0.7"}
    skmlp_version, sklearn_version = stored_with.values()
    assert str(warning).startswith(
        f"{cls.__name__} was stored with skmlp {skmlp_version} and scikit-learn {sklearn_version}, and is loaded with "
        f"skmlp {skmlp.__version__} and scikit-learn {sklearn.__version__}."
    )
    assert warning.original_sklearn_version == sklearn_version
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


def _by_joblib(estimator: Any) -> Any:
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


def _by_skops(estimator: Any) -> Any:
    stored = skops.io.dumps(estimator)
    return skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))


WAYS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": _by_joblib,
    "skops": _by_skops,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@BOTH
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_storing_keeps_the_monitor_and_warns_of_another_version(
    cls: Any, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = _fitted(cls)
    loaded = WAYS[way](original)
    if way != "copy":  # which shares its arrays
        np.testing.assert_equal(_train(loaded).monitor_, _train(original).monitor_)
    stored_by_another = cls()
    monkeypatch.setattr(
        "skmlp.estimators.base.BaseMLP.__getstate__", lambda self: {**vars(self), "_skmlp_version": "0.0.7"}
    )
    with pytest.warns(InconsistentVersionWarning, match=r"stored with skmlp 0\.0\.7"):
        WAYS[way](stored_by_another)


@BOTH
def test_a_later_format_is_refused_with_advice(cls: Any) -> None:
    with pytest.raises(ValueError, match=r"stored by a later version of skmlp, in format 1000\. .*upgrade skmlp"):
        _loaded(_fitted(cls), lambda state: state["_stored_model"].update(format=1000))


@BOTH
def test_a_missing_key_is_named(cls: Any) -> None:
    estimator = _fitted(cls)
    for key in estimator.__getstate__()["_stored_model"].keys() - {"format"}:
        with pytest.raises(ValueError, match=rf"stored estimator is damaged: there is no '{key}' in it\. Load an"):
            _loaded(estimator, lambda state, key=key: state["_stored_model"].pop(key))
    with pytest.raises(ValueError, match="there is no '_observations' in it"):
        _loaded(estimator, lambda state: state.pop("_observations"))


@BOTH
@pytest.mark.parametrize("written", [1, 2])
def test_an_estimator_of_an_earlier_format_continues_training(cls: Any, written: int) -> None:
    monitor = 3 if written == 2 else False
    estimator = _fitted(cls, monitor=monitor, averaging=0.9, dropout=0.2, learning_rate="exponential")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = _loaded(estimator, lambda state: _make_old(state, written))
    assert loaded.get_params() == estimator.get_params()
    for one, other in zip(_train(loaded).coefs_, _train(estimator).coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert loaded.history_["loss"] == estimator.history_["loss"]


@pytest.mark.parametrize(
    ("kind", "registry", "thing", "params"),
    [
        ("activation", ACTIVATIONS, ReLU(), {"activation": "mine"}),
        ("activation", ACTIVATIONS, ReLU(), {"activation": ["mine"]}),
        ("normalization", NORMALIZATIONS, BatchNorm, {"normalization": "mine"}),
        ("loss", LOSSES, Huber(0.123), {"loss": "mine"}),
        ("numeric_embedding", NUMERIC_EMBEDDINGS, PBLD, {"numeric_embedding": "mine"}),
    ],
    ids=["activation", "activations", "normalization", "loss", "numeric_embedding"],
)
def test_an_unregistered_name_is_refused_with_advice(
    kind: str, registry: Any, thing: Any, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry, "mine", thing)
    stored = pickle.dumps(_fitted(MLPRegressor, **params))
    monkeypatch.delitem(registry, "mine")
    with pytest.raises(ValueError, match=rf"needs the {kind} 'mine', which is not registered.*register it before"):
        pickle.loads(stored)
    monkeypatch.setitem(registry, "mine", thing)
    _train(pickle.loads(stored))


@BOTH
def test_a_missing_parameter_gets_its_default(cls: Any) -> None:
    """Files of a version in which it did not exist."""
    for estimator in (cls(), _fitted(cls)):
        for name in estimator.get_params(deep=False):
            loaded = _loaded(estimator, lambda state, name=name: state.pop(name))
            assert loaded.get_params() == {**estimator.get_params(), name: getattr(cls(), name)}
            assert clone(loaded).get_params() == loaded.get_params()
            assert repr(loaded).startswith(cls.__name__)


@BOTH
def test_missing_default_parameters_do_not_change_training(cls: Any) -> None:
    estimator = _fitted(cls)
    defaults = cls().get_params()

    def reduce(state: dict[str, Any]) -> None:
        for name in [name for name, value in defaults.items() if state[name] == value]:
            del state[name]

    loaded = _loaded(estimator, reduce)
    for one, other in zip(_train(loaded).coefs_, _train(estimator).coefs_, strict=True):
        np.testing.assert_array_equal(one, other)


@BOTH
@pytest.mark.parametrize("name", ["gradient_norm", "activation_quantiles"])
def test_a_missing_statistic_is_nan_before_and_observed_after_loading(cls: Any, name: str) -> None:
    estimator = _fitted(cls)
    loaded = _train(_loaded(estimator, lambda state: state["_observations"].pop(name)))
    n_before = len(estimator.monitor_["epoch"])
    assert np.isnan(loaded.monitor_[name][:n_before]).all()
    np.testing.assert_array_equal(loaded.monitor_[name][n_before:], _train(estimator).monitor_[name][n_before:])
    assert len(loaded.monitor_[name]) > n_before
    loaded.monitor_frame()


def test_a_missing_setting_gets_its_default() -> None:
    """Solvers, schedules, activations, normalizations and losses among the parameters."""
    kinds = {type(each) for registry in (ACTIVATIONS, LOSSES) for each in registry.values()}
    kinds |= {*SOLVERS.values(), *SCHEDULES.values(), *NORMALIZATIONS.values(), *NUMERIC_EMBEDDINGS.values()}
    for kind in {*kinds, EmbedCategories}:
        expected = kind()
        loaded = object.__new__(kind)
        assert repr(loaded).startswith(kind.__name__)
        assert kind(**loaded.get_params()) == expected
