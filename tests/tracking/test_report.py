"""The report of a training: its data, escaping of text, and no requests to other hosts."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from skmlp.tracking import report as report_module
from skmlp.tracking.report import EPOCHS_DRAWN, NO_HISTORY, NO_MONITOR, NO_QUANTILES, NO_VALIDATION, html_report

NAN, INF = float("nan"), float("inf")
SVG = "http://www.w3.org/2000/svg"
HOSTILE = "</script><b>"
HISTORY = {
    "loss": [1.5, 0.75, 0.5],
    "train_loss": [1.4, 0.7, NAN],
    "penalty": [0.1, 0.05, 0.05],
    "learning_rate": [1e-3, 1e-3, 1e-3],
    "gradient_norm": [3.0, INF, 1.0],
    "seconds": [0.1, 0.1, 0.1],
    "samples_per_second": [1000.0, 1001.0, 1002.0],
    "validation_loss": [1.6, 0.8, 0.9],
    "validation_score": [0.25, 0.75, 0.5],
}
QUANTILES = [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
MONITOR = {
    "epoch": [1, 3],
    "gradient_norm": [[0.125, 0.5], [0.0, NAN]],
    "weight_norm": [[2.0, 3.0], [2.5, 3.5]],
    "update_ratio": [[1e-3, 1e-4], [1e-3, 1e-4]],
    "dead_fraction": [[0.5, NAN], [0.25, NAN]],
    "saturated_fraction": [[NAN, NAN], [NAN, NAN]],
    "gradient_quantiles": [[QUANTILES, QUANTILES], [[NAN] * 9, QUANTILES]],
    "activation_quantiles": [[QUANTILES, [0.5] * 9], [QUANTILES, QUANTILES]],
}
EMPTY = {name: [] for name in MONITOR}


class Page(HTMLParser):
    """The parsed page: elements with attributes, and the text in each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: dict[str, list[str]] = {}
        self.data = ""
        self._open = ""
        self._in_data = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.text.setdefault(tag, []).append("")
        self._open = tag
        self._in_data = tag == "script" and ("id", "data") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._open, self._in_data = "", False

    def handle_data(self, data: str) -> None:
        if self._in_data:
            self.data += data
        if self._open:
            self.text[self._open][-1] += data


def page(history: Any = HISTORY, monitor: Any = MONITOR, title: str = "A fit", **facts: str) -> Page:
    return Page(html_report(history, monitor, title=title, facts=facts))


def embedded(history: Any = HISTORY, monitor: Any = MONITOR) -> Any:
    """Return the data in the page, which must be strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(page(history, monitor).data, parse_constant=refuse)


def notes(history: Any = HISTORY, monitor: Any = MONITOR) -> list[str]:
    return [text for text in page(history, monitor).text["p"] if text]


def without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: column for name, column in mapping.items() if name not in names}


def as_json(value: Any) -> Any:
    """Put None where JSON has no number."""
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value if np.isfinite(value) else None


class TestData:
    def test_the_page_contains_the_history(self):
        history = embedded()["history"]
        assert history["columns"] == {name: as_json(column) for name, column in HISTORY.items()}
        assert history["epoch"] == [1, 2, 3]
        assert history["n_epochs"] == 3
        assert history["lowest"] == [2, 0.8]

    def test_the_page_contains_the_monitored_statistics(self):
        monitor = embedded()["monitor"]
        assert monitor["epoch"] == [1, 3]
        assert monitor["n_epochs"] == 2
        kinds = ("gradient_quantiles", "activation_quantiles")
        assert monitor["quantiles"] == {kind: as_json(MONITOR[kind]) for kind in kinds}
        expected = without(MONITOR, "epoch", *kinds)
        assert monitor["statistics"] == {name: as_json(rows) for name, rows in expected.items()}

    def test_arrays_give_the_same_page_as_lists(self):
        history = {name: np.array(column, dtype=np.float32) for name, column in HISTORY.items()}
        monitor = {name: np.array(column) for name, column in MONITOR.items()}
        assert embedded(history, monitor) == embedded()

    def test_values_are_rounded_to_four_digits(self):
        losses = [0.123456789, 123456.789, 1.23456e-12]
        assert embedded({"train_loss": losses}, {})["history"]["columns"]["train_loss"] == [0.1235, 123500.0, 1.235e-12]

    @pytest.mark.parametrize("losses", [[NAN, INF], [-INF]])
    def test_without_a_finite_validation_loss_there_is_no_lowest(self, losses):
        history = {"train_loss": losses, "validation_loss": losses}
        assert embedded(history)["history"]["lowest"] is None

    def test_the_first_of_equal_losses_is_the_lowest(self):
        history = {"train_loss": [1.0] * 4, "validation_loss": [NAN, 0.5, 0.5, 0.7]}
        assert embedded(history)["history"]["lowest"] == [2, 0.5]


class TestMissing:
    @pytest.mark.parametrize("monitor", [{}, EMPTY, {"epoch": []}])
    def test_a_training_without_monitor_has_its_history_and_a_note(self, monitor):
        data = embedded(monitor=monitor)
        assert data["monitor"] is None
        assert data["history"]["n_epochs"] == 3
        assert notes(monitor=monitor)[-1] == NO_MONITOR

    @pytest.mark.parametrize("history", [{}, {name: [] for name in HISTORY}])
    def test_a_training_without_epochs_has_notes(self, history):
        assert embedded(history, EMPTY) == {"history": None, "monitor": None}
        assert notes(history, EMPTY)[-2:] == [NO_HISTORY, NO_MONITOR]

    def test_missing_validation_data_have_a_note(self):
        history = without(HISTORY, "validation_loss", "validation_score")
        assert notes(history)[-1] == NO_VALIDATION
        assert embedded(history)["history"]["lowest"] is None

    def test_missing_quantiles_have_a_note(self):
        monitor = without(MONITOR, "gradient_quantiles", "activation_quantiles")
        assert notes(monitor=monitor)[-1] == NO_QUANTILES
        assert embedded(monitor=monitor)["monitor"]["quantiles"] is None

    def test_the_diagnosis_is_inserted_as_html(self):
        page = html_report(HISTORY, MONITOR, title="", facts={}, diagnosis_html="<b>Nothing to worry about</b>")
        assert "<b>Nothing to worry about</b>" in page
        assert "<!--diagnosis-->" not in html_report(HISTORY, MONITOR, title="", facts={})

    def test_a_complete_training_has_no_notes(self):
        assert not {NO_HISTORY, NO_VALIDATION, NO_MONITOR, NO_QUANTILES} & set(notes())


class TestThinning:
    @pytest.mark.parametrize("n_epochs", [EPOCHS_DRAWN + 1, 2 * EPOCHS_DRAWN - 1, 12_345])
    def test_drawn_epochs_are_evenly_spread_from_first_to_last(self, n_epochs):
        losses = np.arange(n_epochs, dtype=float)
        monitor = {"epoch": list(range(1, n_epochs + 1)), "gradient_norm": [[float(e)] for e in range(n_epochs)]}
        data = embedded({"train_loss": losses}, monitor)
        for section in (data["history"], data["monitor"]):
            epochs = section["epoch"]
            assert (epochs[0], epochs[-1], len(epochs)) == (1, n_epochs, EPOCHS_DRAWN)
            steps = np.diff(epochs)
            assert steps.min() >= 1
            assert steps.max() - steps.min() <= 1
            assert section["n_epochs"] == n_epochs

    def test_thinned_values_belong_to_their_epochs(self):
        # Of at most four digits, so that none is rounded.
        n_epochs = 5_000
        epochs = list(range(1, n_epochs + 1))
        monitor = {
            "epoch": epochs,
            "weight_norm": [[float(e)] for e in epochs],
            "gradient_quantiles": [[[float(e)] * 9] for e in epochs],
        }
        data = embedded({"train_loss": [float(e) for e in epochs]}, monitor)
        kept = data["history"]["epoch"]
        assert data["history"]["columns"]["train_loss"] == kept
        assert data["monitor"]["epoch"] == kept
        assert data["monitor"]["statistics"]["weight_norm"] == [[e] for e in kept]
        assert data["monitor"]["quantiles"] == {"gradient_quantiles": [[[e] * 9] for e in kept]}

    def test_the_lowest_loss_includes_epochs_that_are_not_drawn(self):
        losses = np.ones(5_000)
        drawn = set(embedded({"train_loss": losses}, {})["history"]["epoch"])
        hidden = next(epoch for epoch in range(1, 5_001) if epoch not in drawn)
        losses[hidden - 1] = 0.5
        assert embedded({"train_loss": losses, "validation_loss": losses}, {})["history"]["lowest"] == [hidden, 0.5]

    def test_a_note_says_how_many_epochs_are_drawn(self):
        said = "Of 1,234 epochs, 600 are drawn, evenly spread from the first to the last."
        assert notes({"train_loss": [1.0] * 1234})[-1] == said

    def test_up_to_the_limit_all_epochs_are_drawn(self):
        history = {"train_loss": [1.0] * EPOCHS_DRAWN}
        assert embedded(history)["history"]["epoch"] == list(range(1, EPOCHS_DRAWN + 1))
        assert not any("evenly spread" in note for note in notes(history))


class TestHostileText:
    @pytest.mark.parametrize(
        "text",
        [HOSTILE, "<!--data-->", "<!--facts-->", "</title><img src=x>", "a & b", "\"'>", "&lt;b&gt;", "{0} \\1 %s"],
    )
    def test_the_title_is_shown_as_plain_text(self, text):
        found = page(title=text)
        assert found.text["h1"] == [text]
        assert found.text["title"] == [text]
        assert found.tags == page().tags
        assert json.loads(found.data) == embedded()

    def test_the_title_is_escaped_in_the_source(self):
        source = html_report(HISTORY, MONITOR, title=HOSTILE, facts={})
        assert HOSTILE not in source
        assert source.count("&lt;/script&gt;&lt;b&gt;") == 2

    def test_facts_are_shown_as_plain_text_in_their_order(self):
        found = Page(html_report(HISTORY, EMPTY, title="t", facts={HOSTILE: "<!--notes-->", "b": "<i>&amp;"}))
        assert found.text["dt"] == [HOSTILE, "b"]
        assert found.text["dd"] == ["<!--notes-->", "<i>&amp;"]

    @pytest.mark.parametrize("name", [HOSTILE, "<!--<script>", "<!--notes-->", "a\u2028b\u2029c", 'q"\\'])
    def test_names_of_columns_cannot_end_the_script_element(self, name):
        history, monitor = {**HISTORY, name: [1.0, 2.0, 3.0]}, {**MONITOR, name: [[1.0, 2.0], [3.0, 4.0]]}
        source = html_report(history, monitor, title="t", facts={})
        data = json.loads(Page(source).data)
        assert data["history"]["columns"][name] == [1.0, 2.0, 3.0]
        assert data["monitor"]["statistics"][name] == [[1.0, 2.0], [3.0, 4.0]]
        assert not re.search("[<>&\u2028\u2029]", Page(source).data)
        assert Page(source).tags == page().tags


class TestPage:
    def test_all_placeholders_are_replaced(self):
        source = html_report(HISTORY, MONITOR, title="t", facts={"a": "b"})
        assert not re.search(r"<!--\w+-->", source)

    def test_the_page_loads_nothing(self):
        source = html_report(HISTORY, MONITOR, title="t", facts={"a": "b"})
        assert set(re.findall(r"\w+://[^\s\"'<>)]*", source)) <= {SVG}
        assert not re.search(r"url\(|@import|\bimport\b|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon", source)
        found = Page(source)
        assert not {"link", "img", "iframe", "base", "object", "embed"} & set(found.tags)
        assert not [each for each in found.attributes if each[1] in ("src", "href", "srcset", "action")]

    def test_the_content_security_policy_forbids_loading(self):
        (policy,) = [value for tag, name, value in page().attributes if name == "content" and "-src" in (value or "")]
        assert policy.split(";")[0] == "default-src 'none'"
        assert set(re.findall(r"'[^']*'", policy)) == {"'none'", "'unsafe-inline'"}

    def test_the_page_is_one_document_in_utf_8(self):
        source = html_report(HISTORY, MONITOR, title="Größe ∇", facts={})
        assert source.startswith("<!doctype html>")
        assert ("meta", "charset", "utf-8") in Page(source).attributes
        assert Page(source).text["h1"] == ["Größe ∇"]
        assert source.encode()

    def test_the_template_is_in_the_package(self):
        assert report_module._template().count("<!--data-->") == 1
