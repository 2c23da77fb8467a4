"""Settings objects: nested parameters, atomic changes, range checks and scheduled values."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from sklearn.base import clone

from skmlp._configurable import Configurable, Range, is_scheduled


@dataclass
class Inner(Configurable):
    low: Any = 0.25
    high: Any = 1.0

    def __post_init__(self) -> None:
        self._check_range("low", "[0.0, 1.0)", may_be_scheduled=True)
        self._check_range("high", "(0.0, 2.0]")
        if not is_scheduled(self.low) and not is_scheduled(self.high) and self.low > self.high:
            raise ValueError("low must not be above high.")


@dataclass
class Checked(Configurable):
    number: Annotated[int, Range("[1, inf)")]
    choice: Literal["a", "b"] = "a"


@dataclass
class Middle(Configurable):
    inner: Any = None
    kind: str = "plain"


@dataclass
class Outer(Configurable):
    middle: Any = None
    other: Any = None
    number: Any = 1.0


@dataclass(frozen=True)
class Frozen(Configurable):
    inner: Any
    size: int = 3


@dataclass
class Growing:
    """A scheduled value."""

    value: float

    def at(self, time: float) -> float:
        return self.value * time


def _nested() -> Outer:
    return Outer(Middle(Inner(0.5, 1.5)), other=Inner())


def test_nested_parameters_are_named_by_their_path() -> None:
    outer = _nested()
    assert outer.get_params(deep=False) == {"middle": outer.middle, "other": outer.other, "number": 1.0}
    assert outer.get_params() == {
        "middle": outer.middle,
        "middle__inner": outer.middle.inner,
        "middle__inner__low": 0.5,
        "middle__inner__high": 1.5,
        "middle__kind": "plain",
        "other": outer.other,
        "other__low": 0.25,
        "other__high": 1.0,
        "number": 1.0,
    }


def test_set_params_of_get_params_changes_nothing() -> None:
    outer = _nested()
    assert outer.set_params(**outer.get_params()) is outer
    assert outer == _nested()


def test_set_params_of_a_nested_parameter_changes_nothing_else() -> None:
    outer = _nested().set_params(middle__inner__low=0.75, number=2.0)
    assert outer == Outer(Middle(Inner(0.75, 1.5)), other=Inner(), number=2.0)


def test_settings_of_one_object_are_checked_together() -> None:
    outer = Outer(other=Inner(0.1, 0.2))
    with pytest.raises(ValueError, match="low must not be above high"):
        outer.set_params(other__low=0.5)
    assert outer.set_params(other__low=0.5, other__high=0.6).other == Inner(0.5, 0.6)


@pytest.mark.parametrize("inner_first", [False, True])
def test_new_object_and_a_setting_of_it_in_one_call(inner_first: bool) -> None:
    new = Middle(Inner(0.0, 0.5), "fancy")
    changes = {"middle": new, "middle__inner__high": 0.75}
    outer = _nested().set_params(**dict(reversed(changes.items())) if inner_first else changes)
    assert outer.middle == Middle(Inner(0.0, 0.75), "fancy")
    assert new == Middle(Inner(0.0, 0.5), "fancy")  # the given object is not changed


def test_set_params_does_not_change_objects_that_others_use() -> None:
    shared = Inner(0.5, 1.5)
    first, second = Outer(Middle(shared)), Outer(Middle(shared))
    first.set_params(middle__inner__low=0.0)
    assert second == Outer(Middle(Inner(0.5, 1.5)))
    assert first.middle.inner == Inner(0.0, 1.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": 5.0, "middle__inner__low": 2.0}, r"'low' parameter of Inner .*\[0\.0, 1\.0\).* Got 2\.0"),
        ({"other__low": 0.75, "middle__inner__high": -1.0}, r"'high' parameter of Inner .*\(0\.0, 2\.0\].* Got -1\.0"),
        ({"number": 5.0, "speed": 1.0}, "Invalid parameter 'speed' for Outer.*'middle__inner__low'"),
        ({"number": 5.0, "speed__low": 1.0}, "Invalid parameter 'speed__low' for Outer"),
        ({"other__low": 0.75, "middle__speed": 1.0}, "Invalid parameter 'speed' for Middle"),
        ({"other__low": 0.75, "number__low": 1.0}, "Invalid parameter 'number__low' for Outer"),
        ({"other": None, "other__low": 0.75}, "Invalid parameter 'other__low' for Outer"),
        ({"other__low": 0.75, "middle__kind__of": 1.0}, "Invalid parameter 'kind__of' for Middle"),
    ],
    ids=str,
)
def test_refused_changes_leave_all_settings_unchanged(changes: dict[str, Any], words: str) -> None:
    outer = _nested()
    before = outer.get_params()
    with pytest.raises(ValueError, match=words):
        outer.set_params(**changes)
    assert outer == _nested()
    assert all(outer.get_params()[name] is value for name, value in before.items())


def test_frozen_settings_support_set_params() -> None:
    frozen = Frozen(Inner())
    assert frozen.set_params(inner__low=0.5, size=4) == Frozen(Inner(0.5), 4)
    with pytest.raises(ValueError, match="Invalid parameter"):
        frozen.set_params(shape=1)


def test_clone_copies_at_every_depth() -> None:
    outer = _nested()
    copy = clone(outer)
    assert copy == outer
    copy.set_params(middle__inner__low=0.0)
    assert outer == _nested()
    assert clone(outer).middle is not outer.middle
    assert clone(outer).middle.inner is not outer.middle.inner


def test_numpy_numbers_become_python_floats_at_every_depth() -> None:
    outer = _nested().set_params(middle__inner__low=np.float64(0.75), other__high=np.float32(0.5))
    assert type(outer.middle.inner.low) is type(outer.other.high) is float


@pytest.mark.parametrize("value", [True, "0.5", None, float("nan"), 1.0, -0.1])
def test_values_outside_the_range_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=rf"'low' parameter of Inner must be a float in .* Got {value!r} instead"):
        Inner(value)


def test_open_and_closed_bounds_of_a_range() -> None:
    assert Inner(0.0, 2.0) == Inner(low=0, high=2)
    for high in (0.0, 2.5):
        with pytest.raises(ValueError, match="'high' parameter"):
            Inner(high=high)


def test_integers_and_choices_are_checked() -> None:
    checked = Checked(np.int64(2), "b")
    assert (type(checked.number), checked.number) == (int, 2)
    for number in (0, 1.0, True, "1", None):
        with pytest.raises(ValueError, match=rf"'number' parameter of Checked .* int .*\[1, inf\)\. Got {number!r}"):
            Checked(number)
    for choice in ("c", None, 1):
        with pytest.raises(ValueError, match=rf"'choice' parameter of Checked .* among {{'a', 'b'}}\. Got {choice!r}"):
            Checked(1, choice)


def test_scheduled_values_are_found_at_every_depth() -> None:
    low, number = Growing(0.5), Growing(3.0)
    assert _nested().scheduled() == []
    assert Outer(Middle(Inner(low)), number=number).scheduled() == [low, number]


def test_at_replaces_scheduled_values_by_numbers() -> None:
    outer = Outer(Middle(Inner(Growing(0.5))), other=Inner(), number=Growing(3.0))
    assert outer.at(0.5) == Outer(Middle(Inner(0.25)), other=Inner(), number=1.5)
    assert outer == Outer(Middle(Inner(Growing(0.5))), other=Inner(), number=Growing(3.0))
    plain = _nested()
    assert plain.at(0.5) is plain


def test_scheduled_values_are_checked_at_construction_and_at_every_time() -> None:
    with pytest.raises(ValueError, match=r"'low' parameter of Inner .* Got 1\.5 instead"):
        Inner(Growing(1.5))
    settings = Inner(Growing(0.5))
    assert settings.at(1.5).low == 0.75
    with pytest.raises(ValueError, match=r"'low' parameter of Inner .* Got 1\.25 instead"):
        settings.at(2.5)


def test_scheduled_values_are_refused_unless_allowed() -> None:
    with pytest.raises(ValueError, match=r"'high' parameter of Inner .*2\.0\]; it cannot follow a schedule\. Got Grow"):
        Inner(high=Growing(0.5))
