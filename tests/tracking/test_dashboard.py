"""The dashboard that is kept as a tag of an experiment: what it shows, and where."""

import base64
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from skmlp.tracking import dashboard, dashboard_url
from skmlp.tracking.__main__ import main
from skmlp.tracking.dashboard import MOST_LAYERS, TAG_LENGTH

TAG = "mlflow.sharedViewState.skmlp"
LOSSES = ["loss/train", "loss/validation"]


def layers(family: str, n: int) -> list[str]:
    return [f"{family}/layer_{number:02d}" for number in range(1, n + 1)]


def add_run(uri: str, metrics: Iterable[str], experiment: str = "digits") -> str:
    """Store a run that has these metrics; return its experiment's ID."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id: str = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(experiment_id)
    batch = [mlflow.entities.Metric(name, 0.5, 0, 0) for name in metrics]
    for start in range(0, len(batch), 1000):
        client.log_batch(run.info.run_id, metrics=batch[start : start + 1000])
    return experiment_id


def stored_tag(uri: str, experiment: str = "digits") -> str:
    return str(MlflowClient(uri).get_experiment_by_name(experiment).tags[TAG])


def stored_view(uri: str) -> dict[str, Any]:
    """Decode the tag as MLflow's page does."""
    kind, _, content = stored_tag(uri).partition(";")
    assert kind == "deflate"
    view: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(content)))
    return view


def charts(uri: str) -> dict[str, dict[str, Any]]:
    return {chart["displayName"]: chart for chart in stored_view(uri)["compareRunCharts"]}


def test_both_losses_are_in_one_linear_chart(sqlite_uri: str) -> None:
    add_run(sqlite_uri, [*LOSSES, "loss/penalty"])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    chart = charts(sqlite_uri)["Training and validation loss"]
    assert chart["selectedMetricKeys"] == LOSSES
    assert (chart["type"], chart["xAxisKey"], chart["scaleType"]) == ("LINE", "step", "linear")


def test_gradient_norms_of_all_layers_are_on_a_log_scale(sqlite_uri: str) -> None:
    add_run(sqlite_uri, [*layers("grad_norm", 3), *layers("weight_norm", 3), "grad_norm/global"])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    drawn = charts(sqlite_uri)
    assert drawn["Gradient norm of each layer (log)"]["selectedMetricKeys"] == layers("grad_norm", 3)
    assert {title for title, chart in drawn.items() if chart["scaleType"] == "log"} == {
        "Gradient norm of each layer (log)",
        "Gradient norm (log)",
    }


def test_layers_are_those_of_all_runs_in_the_order_of_their_numbers(sqlite_uri: str) -> None:
    add_run(sqlite_uri, layers("grad_norm", 2))
    add_run(sqlite_uri, ["grad_norm/layer_100", "grad_norm/layer_09"])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    numbers = [
        key[-3:].strip("_r") for key in charts(sqlite_uri)["Gradient norm of each layer (log)"]["selectedMetricKeys"]
    ]
    assert numbers == ["01", "02", "09", "100"]


def test_a_deeper_network_joins_when_asked_for_again(sqlite_uri: str) -> None:
    for depth in (2, 4):
        add_run(sqlite_uri, layers("grad_norm", depth))
        dashboard_url("digits", tracking_uri=sqlite_uri)
        assert charts(sqlite_uri)["Gradient norm of each layer (log)"]["selectedMetricKeys"] == layers(
            "grad_norm", depth
        )


def test_charts_without_metrics_are_left_out(sqlite_uri: str) -> None:
    add_run(sqlite_uri, ["loss/train"])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    view = stored_view(sqlite_uri)
    assert [chart["selectedMetricKeys"] for chart in view["compareRunCharts"]] == [["loss/train"]]
    assert [section["name"] for section in view["compareRunSections"] if section["display"]] == ["Learning curves"]


def test_every_chart_is_in_a_section_that_is_open(sqlite_uri: str) -> None:
    add_run(sqlite_uri, [*LOSSES, "score/validation", "optim/learning_rate", *layers("grad_norm", 3)])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    view = stored_view(sqlite_uri)
    sections = view["compareRunSections"]
    shown = {section["uuid"] for section in sections if section["display"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == shown
    identifiers = [each["uuid"] for each in [*sections, *view["compareRunCharts"]]]
    assert len(set(identifiers)) == len(identifiers)


def test_200_layers_stay_inside_the_limit_of_a_tag(sqlite_uri: str) -> None:
    families = ("grad_norm", "update_ratio", "weight_norm", "dead_fraction", "saturated_fraction")
    add_run(sqlite_uri, [*LOSSES, *(name for family in families for name in layers(family, 200))])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    assert len(stored_tag(sqlite_uri)) <= TAG_LENGTH
    keys = charts(sqlite_uri)["Gradient norm of each layer (log)"]["selectedMetricKeys"]
    assert 8 <= len(keys) <= MOST_LAYERS
    assert (keys[0], keys[-1]) == ("grad_norm/layer_01", "grad_norm/layer_200")


def test_the_same_metrics_give_the_same_tag(sqlite_uri: str) -> None:
    add_run(sqlite_uri, [*LOSSES, *layers("grad_norm", 3)])
    dashboard_url("digits", tracking_uri=sqlite_uri)
    before = stored_tag(sqlite_uri)
    dashboard_url("digits", tracking_uri=sqlite_uri)
    assert stored_tag(sqlite_uri) == before


def test_an_experiment_without_runs_has_an_empty_dashboard(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).create_experiment("empty")
    dashboard_url("empty", tracking_uri=sqlite_uri)
    assert stored_tag(sqlite_uri, "empty").startswith("deflate;")


@pytest.mark.parametrize("server", [None, "http://127.0.0.1:8080/"])
def test_address(sqlite_uri: str, server: str | None) -> None:
    experiment_id = add_run(sqlite_uri, LOSSES)
    url = dashboard_url("digits", tracking_uri=sqlite_uri, server=server)
    base = "http://127.0.0.1:5000" if server is None else "http://127.0.0.1:8080"
    view = "compareRunsMode=CHART&viewStateShareKey=skmlp&workflowType=machine_learning"
    assert url == f"{base}/#/experiments/{experiment_id}/runs?{view}"


def test_address_and_tag_at_a_server(server: Any) -> None:
    experiment_id = add_run(server.uri, LOSSES, "dashboard")
    url = dashboard_url("dashboard", tracking_uri=server.uri)
    assert url.startswith(f"{server.uri}/#/experiments/{experiment_id}/runs?")
    assert stored_tag(server.uri, "dashboard").startswith("deflate;")


def test_the_current_experiment_is_the_default(sqlite_uri: str) -> None:
    mlflow.set_tracking_uri(sqlite_uri)
    chosen = mlflow.set_experiment("chosen").experiment_id
    assert f"/experiments/{chosen}/" in dashboard_url()


def test_an_id_of_another_store_does_not_count(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12345")
    assert "/experiments/0/" in dashboard_url(tracking_uri=sqlite_uri)


def test_unknown_experiment(sqlite_uri: str) -> None:
    add_run(sqlite_uri, LOSSES)
    with pytest.raises(ValueError, match=r"no active experiment named 'digit' in the store .*has: 'digits', 'Default'"):
        dashboard_url("digit", tracking_uri=sqlite_uri)
    assert MlflowClient(sqlite_uri).get_experiment_by_name("digit") is None


def test_deleted_experiment(sqlite_uri: str) -> None:
    MlflowClient(sqlite_uri).delete_experiment(add_run(sqlite_uri, LOSSES))
    with pytest.raises(ValueError, match="no active experiment named 'digits'"):
        dashboard_url("digits", tracking_uri=sqlite_uri)


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2.0):
            return True
    except OSError:
        return False


@contextmanager
def command(output: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command in a process of its own; what it says goes to a file, which nobody has to wait for."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "skmlp.tracking", "dashboard", "--no-browser", *arguments], stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()  # ends the server, too
        try:
            process.wait(60.0)
        finally:
            process.kill()


def test_the_command_serves_a_local_store_until_it_is_ended(sqlite_uri: str, tmp_path: Path) -> None:
    experiment_id = add_run(sqlite_uri, LOSSES)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = tmp_path / "output"
    with command(output, "digits", "--tracking-uri", sqlite_uri, "--port", str(port)) as process:
        deadline = time.monotonic() + 120.0
        while "Ctrl-C ends the server." not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)  # between two looks, for as long as it takes
        address = f"http://127.0.0.1:{port}/#/experiments/{experiment_id}/runs?"
        assert f"The dashboard is at {address}" in output.read_text()
        assert is_healthy(port)
        process.send_signal(signal.SIGTERM)  # Python makes of it what Ctrl-C is from the start
        assert process.wait(60.0) == 0
    assert not is_healthy(port)


def test_the_servers_command_line_does_not_hold_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone on the machine can read it; the environment belongs to its owner."""
    started: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: started.update(how, command=command))
    dashboard._start_server("postgresql://me:secret@host/db", 5000)
    assert "secret" not in " ".join(started["command"])
    assert started["env"]["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@host/db"
    assert started["env"]["PYTHONSAFEPATH"] == "1"  # nothing is imported from the working folder


def test_passwords_are_in_no_address_and_no_error(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_id = add_run(sqlite_uri, LOSSES)
    uri = "https://me:secret@host"
    monkeypatch.setattr(dashboard, "new_client", lambda uri: MlflowClient(sqlite_uri))
    assert dashboard_url("digits", tracking_uri=uri).startswith(f"https://host/#/experiments/{experiment_id}/")
    with pytest.raises(ValueError, match=r"in the store https://me:\*\*\*@host"):
        dashboard_url("no such", tracking_uri=uri)

    def fail(uri: str) -> None:
        raise MlflowException(f"call to {uri} failed")

    monkeypatch.setattr(dashboard, "new_client", fail)
    with pytest.raises(MlflowException, match=r"^call to https://me:\*\*\*@host failed$"):
        dashboard_url("digits", tracking_uri=uri)


def test_a_port_in_use_is_told_before_anything_is_started(sqlite_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(sqlite_uri, LOSSES)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"Port {port} of 127.0.0.1 .*--port {port + 1}"):
            main(["dashboard", "digits", "--tracking-uri", sqlite_uri, "--port", str(port), "--no-browser"])


def test_the_dashboard_of_a_server_is_only_opened(
    server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(server.uri, LOSSES, "opened")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert main(["dashboard", "opened", "--tracking-uri", server.uri]) == 0
    assert capsys.readouterr().out == f"The dashboard is at {opened[0]}\n"
    assert opened[0].startswith(server.uri)
