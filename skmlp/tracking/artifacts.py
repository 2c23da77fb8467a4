"""The files of a run: the history as table and CSV, the statistics of the layers, figures and the report.

They are created in the process that sends them, not in the training process.
"""

import base64
import gzip
import io
import json
import math
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from skmlp.tracking.journal import Artifact, Log, TrainingFiles
from skmlp.tracking.report import html_report, rounded

__all__ = ["files_of_training"]


def files_of_training(record: TrainingFiles) -> Iterator[Artifact | Log]:
    """Yield the records that store the files of a finished fit."""
    run, history, monitor = record.run, record.history, record.monitor
    epochs = list(range(1, len(history["loss"]) + 1))
    columns = ["epoch", *history]
    rows = [list(row) for row in zip(epochs, *history.values(), strict=True)]
    csv = [",".join(columns), *(",".join(map(repr, row)) for row in rows)]
    yield Artifact(run, "history.csv", "\n".join(csv) + "\n")
    yield Artifact(run, "history.json", json.dumps({"columns": columns, "data": [_finite(row) for row in rows]}))
    # This tag makes MLflow show the file as a table.
    yield Log(run, tags={"mlflow.loggedArtifacts": json.dumps([{"path": "history.json", "type": "table"}])})
    yield Artifact(run, "config.json", json.dumps(record.configuration, indent=2))
    if monitor["epoch"]:
        yield Artifact(run, "monitor.json.gz", _compact(monitor), binary=True)
    yield Artifact(run, "diagnosis.json", json.dumps(record.diagnosis, indent=2))
    report = html_report(history, monitor, title=record.title, facts=record.facts, diagnosis_html=record.diagnosis_html)
    yield Artifact(run, "figures/training.html", report)
    if find_spec("matplotlib") is not None:
        for name, content in _figures(history, monitor):
            yield Artifact(run, f"figures/{name}.png", content, binary=True)


def _finite(row: list[float]) -> list[float | None]:
    """Return the row with None for NaN and infinity, which JSON lacks."""
    return [value if math.isfinite(value) else None for value in row]


def _compact(monitor: Mapping[str, list[Any]]) -> str:
    """Return the statistics as gzipped JSON with four digits, in base64."""
    columns = {name: rounded(column) for name, column in monitor.items()}
    content = json.dumps(columns, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _figures(history: Mapping[str, list[Any]], monitor: Mapping[str, list[Any]]) -> Iterator[tuple[str, str]]:
    """Yield names and PNG files. The figures are not pyplot's, so that any thread may draw them."""
    from matplotlib.figure import Figure

    from skmlp.inspection import GradientFlowDisplay, HistoryDisplay

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    HistoryDisplay.from_history(history, ax=figure.add_subplot())
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
