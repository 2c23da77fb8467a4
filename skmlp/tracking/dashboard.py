"""A dashboard for neural networks in MLflow's user interface, and a local server to show it.

By default, MLflow draws one chart per metric, with a linear axis. The dashboard puts metrics that belong together, such
as the two losses or the gradient norms of all layers, into one chart. It is a shared view of an experiment, which
MLflow stores as a tag of the experiment. The format of the tag is not documented, so another release of MLflow may not
understand it completely. Only this module depends on it.
"""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
import webbrowser
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from skmlp.tracking.addresses import is_server, masked, masked_errors, without_login
from skmlp.tracking.clients import new_client
from skmlp.tracking.settings import chosen_experiment

__all__ = ["dashboard_url", "find_experiment", "serve"]

VIEW = "skmlp"
# MLflow allows 20000 characters since its database schema of August 2026, and 5000 before.
TAG_LENGTH = 5000
# Maximum number of lines in a chart: more are hard to distinguish, and MLflow sends a request for each.
MAX_LAYERS = 32
# Number of latest runs whose metrics have charts.
N_RUNS = 50
HOST = "127.0.0.1"
# Seconds for a server to answer; it may have to create the database first.
START_TIMEOUT = 120.0
# Seconds for a server to end after a signal.
STOP_TIMEOUT = 10.0

_LAYER = re.compile(r".+/layer_(?P<number>\d+)")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "skmlp/dashboard")


@dataclass(frozen=True)
class _Chart:
    """A chart of the metrics `keys`; a key that ends with ``/layer_`` stands for the metrics of all layers."""

    title: str
    keys: tuple[str, ...]
    log: bool = False


_SECTIONS: dict[str, tuple[_Chart, ...]] = {
    "Learning curves": (
        _Chart("Training and validation loss", ("loss/train", "loss/validation", "loss/held_out")),
        _Chart("Validation score", ("score/validation", "score/best_member")),
    ),
    "Gradients": (
        _Chart("Gradient norm of each layer (log)", ("grad_norm/layer_",), log=True),
        _Chart("Update ratio of each layer (log)", ("update_ratio/layer_",), log=True),
        _Chart("Weight norm of each layer", ("weight_norm/layer_",)),
    ),
    "Health": (
        _Chart("Dead units of each layer", ("dead_fraction/layer_",)),
        _Chart("Saturated units of each layer", ("saturated_fraction/layer_",)),
        _Chart("Learning rate (log)", ("optim/learning_rate",), log=True),
        _Chart("Gradient norm (log)", ("grad_norm/global",), log=True),
    ),
}


def dashboard_url(experiment: str | None = None, *, tracking_uri: str | None = None, server: str | None = None) -> str:
    """Store a dashboard with an MLflow experiment and return its address.

    The dashboard shows training and validation loss in one chart, the gradient norms and update ratios of all layers
    on logarithmic axes, weight norms, dead and saturated units, and the learning rate. Charts without values in the
    latest 50 runs are omitted. It is stored as the experiment's tag ``mlflow.sharedViewState.skmlp`` and reads the runs
    whenever it is opened. Call this function again for a network with more layers.

    Parameters
    ----------
    experiment : str, optional
        Name of the experiment; by default MLflow's current one.
    tracking_uri : str, optional
        The store; by default MLflow's current one.
    server : str, optional
        Address of the MLflow server that shows the dashboard; by default the store if it is a server, else
        ``http://127.0.0.1:5000``, the default of ``mlflow server``.

    Returns
    -------
    url : str

    Raises
    ------
    ValueError
        When the experiment does not exist.
    mlflow.exceptions.MlflowException
        When the store does not answer or does not accept the tag.

    Examples
    --------
    >>> from skmlp.tracking import dashboard_url
    >>> dashboard_url("digits")  # doctest: +SKIP
    'http://127.0.0.1:5000/#/experiments/1/runs?compareRunsMode=CHART&viewStateShareKey=skmlp&workflowType=...'
    """
    with masked_errors():
        uri, client = _connect(tracking_uri)
        experiment_id = find_experiment(client, uri, experiment, tracking_uri is None)
        runs = client.search_runs([experiment_id], max_results=N_RUNS, order_by=["attributes.start_time DESC"])
        metrics = {key for run in runs for key in run.data.metrics}
        client.set_experiment_tag(experiment_id, f"mlflow.sharedViewState.{VIEW}", _encoded_view(metrics))
    server = server or (without_login(uri) if is_server(uri) else f"http://{HOST}:5000")
    address = f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
    # Without workflowType, MLflow opens the experiment as one of generative AI.
    return f"{address}?compareRunsMode=CHART&viewStateShareKey={VIEW}&workflowType=machine_learning"


def _connect(tracking_uri: str | None) -> tuple[str, Any]:
    """Return the address of the store and a client."""
    import mlflow

    uri = tracking_uri or mlflow.get_tracking_uri()
    return uri, new_client(uri)


def find_experiment(client: Any, uri: str, name: str | None, is_default_store: bool) -> str:
    """Return the ID of an experiment, or raise ValueError. Unlike MLflow's own function, do not create it.

    Without a name, it is MLflow's current experiment, whose ID applies in the default store only.
    """
    current = None
    if name is None:
        name, current = chosen_experiment(elsewhere=not is_default_store)
    if current is not None:
        experiment = next((each for each in client.search_experiments() if each.experiment_id == current), None)
        wanted = f"with the ID {current}"
    else:
        experiment = client.get_experiment_by_name(name)
        wanted = f"named {name!r}"
    if experiment is None or experiment.lifecycle_stage != "active":
        names = ", ".join(repr(each.name) for each in client.search_experiments(max_results=10)) or "none"
        raise ValueError(
            f"There is no active experiment {wanted} in the store {masked(uri)}, which has: {names}. Pass one of these "
            f"names, or the tracking_uri of another store. A fit with an MLflowCallback creates its experiment."
        )
    return str(experiment.experiment_id)


def _encoded_view(metrics: Iterable[str]) -> str:
    """Return the view in the format of MLflow's tag, with as many layers as fit into it."""
    metrics = set(metrics)
    n_layers = MAX_LAYERS
    while True:
        # MLflow's own encoding, without spaces.
        state = json.dumps(_view(metrics, n_layers), separators=(",", ":"))
        encoded = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
        if len(encoded) <= TAG_LENGTH or n_layers == 1:
            return encoded
        n_layers //= 2


def _view(metrics: set[str], n_layers: int) -> dict[str, Any]:
    sections, charts = [], []
    for name, chosen in _SECTIONS.items():
        drawn = [(chart, keys) for chart in chosen if (keys := _present_keys(chart, metrics, n_layers))]
        if drawn:
            sections.append(_section(name, shown=True))
            charts += [_line_chart(name, chart, keys) for chart, keys in drawn]
    # MLflow adds a chart for every other metric, in a section named like the part before the last slash. Closed
    # sections with these names keep the page short.
    others = sorted({key.rpartition("/")[0] for key in metrics if "/" in key})
    sections.extend(_section(name, shown=False) for name in others)
    return {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": sections,
        "compareRunCharts": charts,
    }


def _present_keys(chart: _Chart, metrics: set[str], n_layers: int) -> list[str]:
    """Return the keys of a chart that are among the metrics, of at most `n_layers` evenly spread layers."""
    keys: list[str] = []
    for key in chart.keys:
        if not key.endswith("/layer_"):
            keys += [key] if key in metrics else []
            continue
        layers = {
            int(found["number"]): name for name in metrics if (found := _LAYER.fullmatch(name)) and name.startswith(key)
        }
        keys += _spread([layers[number] for number in sorted(layers)], n_layers)
    return keys


def _spread(items: list[str], n: int) -> list[str]:
    """Return at most `n` evenly spread items, including the first and the last one."""
    if len(items) <= n:
        return items
    if n == 1:
        return items[:1]
    return [items[round(i * (len(items) - 1) / (n - 1))] for i in range(n)]


def _section(name: str, *, shown: bool) -> dict[str, Any]:
    return {
        "uuid": _uuid(name, shown),
        "name": name,
        "display": shown,
        "isReordered": False,
        "deleted": False,
        "isGenerated": False,
        "columns": 2,
        "cardHeight": 360,
    }


def _line_chart(section: str, chart: _Chart, keys: list[str]) -> dict[str, Any]:
    return {
        "uuid": _uuid(section, chart.title),
        "type": "LINE",
        "runsCountToCompare": 10,
        "metricSectionId": _uuid(section, True),
        "deleted": False,
        "isGenerated": False,
        "displayName": chart.title,
        # MLflow 3.17 shows the title of a chart of several metrics only if it is marked as a system metric of several
        # nodes; otherwise the title is all keys joined by "vs". The mark has no other effect.
        "nodeLevelSystemMetricConfiguration": {"metric": chart.title, "type": "node"},
        "metricKey": keys[0],
        "selectedMetricKeys": keys,
        "lineSmoothness": 0,
        "displayPoints": False,  # points, which MLflow draws for up to 60 values, would hide the dashes of the lines
        "xAxisScaleType": "linear",
        "scaleType": "log" if chart.log else "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _uuid(*parts: object) -> str:
    """Return an identifier that depends only on the parts, so that the same metrics give the same tag."""
    return uuid.uuid5(_NAMESPACE, repr(parts)).hex


def serve(
    experiment: str | None = None, *, tracking_uri: str | None = None, port: int = 5000, open_browser: bool = True
) -> None:
    """Store the dashboard and show it; ``python -m skmlp.tracking dashboard`` calls this function.

    If the store is a database or a folder, start an MLflow server on the loopback address until Ctrl-C. If it is a
    server, only print and open the address.
    """
    uri, _ = _connect(tracking_uri)
    if is_server(uri):
        _announce(dashboard_url(experiment, tracking_uri=tracking_uri), open_browser)
        return
    server = f"http://{HOST}:{port}"
    _assert_port_is_free(port)
    url = dashboard_url(experiment, tracking_uri=tracking_uri, server=server)
    with _signals_as_ctrl_c():
        process = _start_server(uri, port)
        try:
            _wait_until_healthy(process, server)
            _announce(url, open_browser)
            print("Ctrl-C ends the server.", flush=True)
            _wait_until_ended(process)
            raise RuntimeError(f"The MLflow server ended with exit code {process.returncode}.")
        except KeyboardInterrupt:
            print("Ending the server.", flush=True)
        finally:
            _end(process)


def _announce(url: str, open_browser: bool) -> None:
    print(f"The dashboard is at {url}", flush=True)
    if open_browser:
        webbrowser.open(url)


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM and a closed terminal like Ctrl-C; otherwise the server, in a separate group, would go on."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _assert_port_is_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore a server that has just ended
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise OSError(
                error.errno,
                f"Port {port} of {HOST} is not available ({error.strerror}). End the program that uses it, or pass "
                f"another port: python -m skmlp.tracking dashboard --port {port + 1}",
            ) from error


def _start_server(uri: str, port: int) -> subprocess.Popen[bytes]:
    """Start a server of two processes in a separate group, so that Ctrl-C only interrupts this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"],
        env={
            **os.environ,
            "MLFLOW_BACKEND_STORE_URI": uri,  # other users can see a command line, which would contain the password
            "PYTHONSAFEPATH": "1",  # do not import modules of the working folder, such as a random.py
            # Without the job queue, MLflow's server has 2 processes instead of 15.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        start_new_session=True,
    )


def _wait_until_healthy(process: subprocess.Popen[bytes], server: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server}/health", timeout=2):
                return
        except OSError:
            pass
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        raise RuntimeError(
            f"The MLflow server ended with exit code {process.returncode}; see its output above. Try to start it "
            f"with the store in MLFLOW_BACKEND_STORE_URI: {' '.join(map(str, process.args))}"  # type: ignore[arg-type]
        )
    raise RuntimeError(f"The MLflow server at {server} does not answer after {START_TIMEOUT:g} seconds.")


def _wait_until_ended(process: subprocess.Popen[bytes]) -> None:
    """Wait in short steps, since Ctrl-C does not interrupt a wait when another thread receives the signal."""
    while process.poll() is None:
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes, if necessary with SIGKILL."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        try:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            process.wait(STOP_TIMEOUT)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
