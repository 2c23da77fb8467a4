"""The table of parameters agrees with the constructors, the constraints and the docstrings."""

import inspect
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.utils._param_validation import make_constraint

from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor
from skmlp.estimators.documentation import documented
from skmlp.estimators.parameters import CLASSIFIER, REGRESSOR, Parameter
from skmlp.estimators.tabular_parameters import TABULAR_CLASSIFIER, TABULAR_REGRESSOR

PLAIN = [(MLPClassifier, CLASSIFIER), (MLPRegressor, REGRESSOR)]
BOTH = pytest.mark.parametrize(("cls", "table"), PLAIN)
TABULAR = [(TabularMLPClassifier, TABULAR_CLASSIFIER), (TabularMLPRegressor, TABULAR_REGRESSOR)]
ALL = pytest.mark.parametrize(("cls", "table"), [*PLAIN, *TABULAR])


@ALL
def test_constructor_has_the_names_order_and_defaults_of_the_table(cls: Any, table: Any) -> None:
    in_signature = [(each.name, each.default) for each in inspect.signature(cls).parameters.values()]
    assert in_signature == [(row.name, row.default) for row in table.rows]
    assert [type(default) for _, default in in_signature] == [type(row.default) for row in table.rows]
    assert vars(cls()) == dict(in_signature)


@ALL
def test_every_default_satisfies_its_rule(cls: Any, table: Any) -> None:
    assert cls._parameter_constraints == table.constraints
    for row in table.rows:
        assert any(make_constraint(rule).is_satisfied_by(row.default) for rule in row.rule), row.name


@ALL
def test_docstring_documents_every_parameter_in_order(cls: Any, table: Any) -> None:
    section = inspect.getdoc(cls).split("Parameters\n----------\n")[1].split("\n\nAttributes\n")[0]
    headers = re.findall(r"^(\w+) : (.+), default=(.+)$", section, re.MULTILINE)
    assert [name for name, _, _ in headers] == [row.name for row in table.rows]
    assert [eval(default) for _, _, default in headers] == [row.default for row in table.rows]
    for row in table.rows:
        assert len(row.text.split()) > 3, f"{row.name} is not documented"
        assert " ".join(row.text.split()[:4]) in " ".join(section.split())


@ALL
def test_docstrings_have_no_placeholder_left(cls: Any, table: Any) -> None:
    for documented_object in (cls, cls.fit, *([cls.partial_fit] if hasattr(cls, "partial_fit") else [])):
        text = inspect.getdoc(documented_object)
        assert not re.search(r"^\s*\{\w+\}$", text, re.MULTILINE)
        assert max(map(len, text.split("\n"))) <= 120
        assert re.search(r"^Parameters\n-{10}$", text, re.MULTILINE)


def test_documentation_says_what_lbfgs_and_partial_fit_do_with_a_parameter() -> None:
    plain = Parameter("rate", 0.5, "float", [], text="The rate.")
    assert plain.documentation == "rate : float, default=0.5\n    The rate."
    ignored = replace(plain, lbfgs="ignored", default="auto").documentation
    assert ignored == 'rate : float, default="auto"\n    The rate.\n    Not used by lbfgs.'
    refused = replace(plain, lbfgs="refused", partial_fit="refused").documentation
    assert refused.endswith("The rate.\n    Not available with lbfgs.\n    Not available in partial_fit.")
    assert replace(plain, lbfgs="ignored", solvers=("sgd",)).documentation == plain.documentation


def test_documentation_keeps_paragraphs_and_lists() -> None:
    text = """
        First:

        - an item
          of two lines
    """
    documentation = Parameter("rate", 0.5, "float", [], text=text).documentation
    assert documentation == "rate : float, default=0.5\n    First:\n\n    - an item\n      of two lines"


def test_documented_replaces_placeholders_and_nothing_else() -> None:
    @documented(middle="two\nlines")
    def function() -> None:
        """Summary.

        {middle}
            {other} {middle}
        """

    assert function.__doc__ == "Summary.\n\ntwo\nlines\n    {other} {middle}"


@BOTH
def test_partial_fit_compares_all_parameters_but_fixed_ones(cls: Any, table: Any) -> None:
    fixed = {row.name for row in table.rows if row.partial_fit == "fixed"}
    values = table.values_compared(cls())
    assert len(values) == len(table.rows) - len(fixed)
    for row in table.rows:
        changed = table.values_compared(cls(**{row.name: np.inf}))
        assert (changed == values) == (row.name in fixed), row.name
