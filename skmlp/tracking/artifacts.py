"""The files of a run: the history and others as table and CSV, the statistics of the layers, figures and the report.

They are created in the process that sends them, not in the training process.
"""

import base64
import csv
import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from skmlp.tracking.journal import Artifact, Log, TrainingFiles
from skmlp.tracking.report import html_report, rounded

__all__ = ["files_of_training"]


def files_of_training(record: TrainingFiles) -> Iterator[Artifact | Log]:
    """Yield the records that store the files of a finished fit."""
    run, history, monitor = record.run, record.history, record.monitor
    epochs = range(1, len(history["loss"]) + 1)
    rows = [list(row) for row in zip(epochs, *history.values(), strict=True)]
    tables: dict[str, dict[str, list[Any]]] = {
        "history": {"columns": ["epoch", *history], "rows": rows},
        **record.tables,
    }
    for name, table in tables.items():
        yield Artifact(run, f"{name}.csv", _csv(table["columns"], table["rows"]))
        data = [_finite(row) for row in table["rows"]]
        yield Artifact(run, f"{name}.json", json.dumps({"columns": table["columns"], "data": data}))
    # This tag makes MLflow show the files as tables.
    shown = [{"path": f"{name}.json", "type": "table"} for name in tables]
    yield Log(run, tags={"mlflow.loggedArtifacts": json.dumps(shown)})
    yield Artifact(run, "config.json", json.dumps(record.configuration, indent=2))
    if monitor["epoch"]:
        yield Artifact(run, "monitor.json.gz", _compact(monitor), binary=True)
    yield Artifact(run, "diagnosis.json", json.dumps(record.diagnosis, indent=2))
    report = html_report(history, monitor, title=record.title, facts=record.facts, diagnosis_html=record.diagnosis_html)
    yield Artifact(run, "figures/training.html", report)
    if find_spec("matplotlib") is not None:
        for name, content in _figures(history, monitor, record.members):
            yield Artifact(run, f"figures/{name}.png", content, binary=True)


def _csv(columns: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _finite(row: list[Any]) -> list[Any]:
    """Return the row with None for NaN and infinity, which JSON lacks."""
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in row]


def _compact(monitor: Mapping[str, list[Any]]) -> str:
    """Return the statistics as gzipped JSON with four digits, in base64."""
    columns = {name: rounded(column) for name, column in monitor.items()}
    content = json.dumps(columns, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _figures(
    history: Mapping[str, list[Any]], monitor: Mapping[str, list[Any]], members: Sequence[Mapping[str, list[Any]]]
) -> Iterator[tuple[str, str]]:
    """Yield names and PNG files. The figures are not pyplot's, so that any thread may draw them."""
    from matplotlib.figure import Figure

    from skmlp.inspection import GradientFlowDisplay, HistoryDisplay

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    HistoryDisplay.from_history(history, members=members, ax=figure.add_subplot())
    yield "learning_curve", _png(figure)
    if monitor["epoch"]:
        height = 2.5 + 0.18 * min(40, len(monitor["gradient_norm"][0]))
        figure = Figure(figsize=(7.0, height), layout="constrained")
        GradientFlowDisplay.from_history(monitor, ax=figure.add_subplot())
        yield "gradient_flow", _png(figure)


def _png(figure: Any) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return base64.b64encode(content.getvalue()).decode()
