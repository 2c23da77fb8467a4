"""The dashboard, which is stored as a tag of an experiment: its charts, its address and the command that shows it."""

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
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from skmlp.tracking import dashboard, dashboard_url
from skmlp.tracking.__main__ import main
from skmlp.tracking.dashboard import MAX_LAYERS, TAG_LENGTH

TAG = "mlflow.sharedViewState.skmlp"
LOSSES = ["loss/train", "loss/validation"]


def layers(family: str, n: int) -> list[str]:
    return [f"{family}/layer_{number:02d}" for number in range(1, n + 1)]


URI = "sqlite:///fake.db"


@pytest.fixture
def store(fake: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client in memory, which the dashboard uses for every store."""
    monkeypatch.setattr(dashboard, "new_client", lambda uri: fake)
    return fake


def add_run(client: Any, metrics: Iterable[str], experiment: str = "digits") -> str:
    """Store a run that has these metrics; return its experiment's ID."""
    found = client.get_experiment_by_name(experiment)
    experiment_id: str = found.experiment_id if found else client.create_experiment(experiment)
    run = client.create_run(experiment_id)
    batch = [mlflow.entities.Metric(name, 0.5, 0, 0) for name in metrics]
    for start in range(0, len(batch), 1000):
        client.log_batch(run.info.run_id, metrics=batch[start : start + 1000])
    return experiment_id


def stored_tag(client: Any, experiment: str = "digits") -> str:
    return str(client.get_experiment_by_name(experiment).tags[TAG])


def stored_view(client: Any) -> dict[str, Any]:
    """Decode the tag as MLflow's page does."""
    kind, _, content = stored_tag(client).partition(";")
    assert kind == "deflate"
    view: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(content)))
    return view


def charts(client: Any) -> dict[str, dict[str, Any]]:
    return {chart["displayName"]: chart for chart in stored_view(client)["compareRunCharts"]}


def test_training_and_validation_loss_share_a_linear_chart(store: Any) -> None:
    add_run(store, [*LOSSES, "loss/penalty"])
    dashboard_url("digits", tracking_uri=URI)
    chart = charts(store)["Training and validation loss"]
    assert chart["selectedMetricKeys"] == LOSSES
    assert (chart["type"], chart["xAxisKey"], chart["scaleType"]) == ("LINE", "step", "linear")


def test_gradient_norms_of_all_layers_share_a_log_scale(store: Any) -> None:
    add_run(store, [*layers("grad_norm", 3), *layers("weight_norm", 3), "grad_norm/global"])
    dashboard_url("digits", tracking_uri=URI)
    drawn = charts(store)
    assert drawn["Gradient norm of each layer (log)"]["selectedMetricKeys"] == layers("grad_norm", 3)
    assert {title for title, chart in drawn.items() if chart["scaleType"] == "log"} == {
        "Gradient norm of each layer (log)",
        "Gradient norm (log)",
    }


def test_layers_of_all_runs_are_sorted_by_number(store: Any) -> None:
    add_run(store, layers("grad_norm", 2))
    add_run(store, ["grad_norm/layer_100", "grad_norm/layer_09"])
    dashboard_url("digits", tracking_uri=URI)
    numbers = [key[-3:].strip("_r") for key in charts(store)["Gradient norm of each layer (log)"]["selectedMetricKeys"]]
    assert numbers == ["01", "02", "09", "100"]


def test_a_second_call_adds_the_layers_of_a_deeper_network(store: Any) -> None:
    for depth in (2, 4):
        add_run(store, layers("grad_norm", depth))
        dashboard_url("digits", tracking_uri=URI)
        assert charts(store)["Gradient norm of each layer (log)"]["selectedMetricKeys"] == layers("grad_norm", depth)


def test_charts_without_metrics_are_omitted(store: Any) -> None:
    add_run(store, ["loss/train"])
    dashboard_url("digits", tracking_uri=URI)
    view = stored_view(store)
    assert [chart["selectedMetricKeys"] for chart in view["compareRunCharts"]] == [["loss/train"]]
    assert [section["name"] for section in view["compareRunSections"] if section["display"]] == ["Learning curves"]


def test_every_chart_is_in_an_open_section(store: Any) -> None:
    add_run(store, [*LOSSES, "score/validation", "optim/learning_rate", *layers("grad_norm", 3)])
    dashboard_url("digits", tracking_uri=URI)
    view = stored_view(store)
    sections = view["compareRunSections"]
    shown = {section["uuid"] for section in sections if section["display"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == shown
    identifiers = [each["uuid"] for each in [*sections, *view["compareRunCharts"]]]
    assert len(set(identifiers)) == len(identifiers)


def test_the_tag_for_200_layers_is_within_mlflows_limit(store: Any) -> None:
    families = ("grad_norm", "update_ratio", "weight_norm", "dead_fraction", "saturated_fraction")
    add_run(store, [*LOSSES, *(name for family in families for name in layers(family, 200))])
    dashboard_url("digits", tracking_uri=URI)
    assert len(stored_tag(store)) <= TAG_LENGTH
    keys = charts(store)["Gradient norm of each layer (log)"]["selectedMetricKeys"]
    assert 8 <= len(keys) <= MAX_LAYERS
    assert (keys[0], keys[-1]) == ("grad_norm/layer_01", "grad_norm/layer_200")


def test_the_same_metrics_give_the_same_tag(store: Any) -> None:
    add_run(store, [*LOSSES, *layers("grad_norm", 3)])
    dashboard_url("digits", tracking_uri=URI)
    before = stored_tag(store)
    dashboard_url("digits", tracking_uri=URI)
    assert stored_tag(store) == before


def test_an_experiment_without_runs_has_an_empty_dashboard(store: Any) -> None:
    store.create_experiment("empty")
    dashboard_url("empty", tracking_uri=URI)
    assert stored_tag(store, "empty").startswith("deflate;")


@pytest.mark.parametrize("server", [None, "http://127.0.0.1:8080/"])
def test_the_address_is_that_of_the_server_or_mlflows_default_port(store: Any, server: str | None) -> None:
    experiment_id = add_run(store, LOSSES)
    url = dashboard_url("digits", tracking_uri=URI, server=server)
    base = "http://127.0.0.1:5000" if server is None else "http://127.0.0.1:8080"
    view = "compareRunsMode=CHART&viewStateShareKey=skmlp&workflowType=machine_learning"
    assert url == f"{base}/#/experiments/{experiment_id}/runs?{view}"


def test_a_server_stores_the_tag_and_is_the_address(server: Any, server_runs: Any) -> None:
    experiment_id = add_run(server_runs.client, LOSSES, "dashboard")
    url = dashboard_url("dashboard", tracking_uri=server.uri)
    assert url.startswith(f"{server.uri}/#/experiments/{experiment_id}/runs?")
    assert stored_tag(server_runs.client, "dashboard").startswith("deflate;")


def test_the_current_experiment_is_the_default(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = store.create_experiment("chosen")
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", chosen)
    assert f"/experiments/{chosen}/" in dashboard_url()


def test_an_experiment_id_does_not_apply_to_another_store(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12345")
    assert "/experiments/0/" in dashboard_url(tracking_uri=URI)


def test_an_unknown_experiment_raises_and_is_not_created(store: Any) -> None:
    add_run(store, LOSSES)
    with pytest.raises(ValueError, match=r"no active experiment named 'digit' in the store .*has: 'digits', 'Default'"):
        dashboard_url("digit", tracking_uri=URI)
    assert store.get_experiment_by_name("digit") is None


def test_a_deleted_experiment_raises(store: Any) -> None:
    store.delete_experiment(add_run(store, LOSSES))
    with pytest.raises(ValueError, match="no active experiment named 'digits'"):
        dashboard_url("digits", tracking_uri=URI)


# The command with a simple HTTP server; the fixture `server` starts a real one with the replaced function.
COMMAND = """
import subprocess, sys
from skmlp.tracking import dashboard
from skmlp.tracking.__main__ import main

def start_server(uri, port):
    return subprocess.Popen([sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port)], start_new_session=True)

dashboard._connect = lambda uri: (uri, None)
dashboard.dashboard_url = lambda *_, server, **__: f"{server}/page"
dashboard._start_server = start_server
sys.exit(main())
"""


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2.0):
            return True
    except OSError:
        return False


def test_the_command_serves_a_local_store_until_it_is_ended(tmp_path: Path) -> None:
    (tmp_path / "health").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = tmp_path / "output"
    arguments = ["dashboard", "--no-browser", "--tracking-uri", URI, "--port", str(port)]
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 60.0
        while "Ctrl-C ends the server." not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        assert f"The dashboard is at http://127.0.0.1:{port}/page" in output.read_text()
        assert is_healthy(port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60.0) == 0
    finally:
        process.kill()
    assert not is_healthy(port)


def test_the_password_is_not_in_the_command_line_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anyone on the machine can read it; the environment belongs to its owner."""
    started: dict[str, Any] = {}
    monkeypatch.setattr(subprocess, "Popen", lambda command, **how: started.update(how, command=command))
    dashboard._start_server("postgresql://me:secret@host/db", 5000)
    assert "secret" not in " ".join(started["command"])
    assert started["env"]["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@host/db"
    assert started["env"]["PYTHONSAFEPATH"] == "1"  # nothing is imported from the working folder


def test_addresses_and_errors_contain_no_password(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment_id = add_run(store, LOSSES)
    uri = "https://me:secret@host"
    monkeypatch.setattr(dashboard, "new_client", lambda uri: store)
    assert dashboard_url("digits", tracking_uri=uri).startswith(f"https://host/#/experiments/{experiment_id}/")
    with pytest.raises(ValueError, match=r"in the store https://me:\*\*\*@host"):
        dashboard_url("no such", tracking_uri=uri)

    def fail(uri: str) -> None:
        raise MlflowException(f"call to {uri} failed")

    monkeypatch.setattr(dashboard, "new_client", fail)
    with pytest.raises(MlflowException, match=r"^call to https://me:\*\*\*@host failed$"):
        dashboard_url("digits", tracking_uri=uri)


def test_a_port_in_use_raises_before_a_server_is_started(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(store, LOSSES)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"Port {port} of 127.0.0.1 .*--port {port + 1}"):
            main(["dashboard", "digits", "--tracking-uri", URI, "--port", str(port), "--no-browser"])


def test_the_command_for_a_server_only_opens_its_page(
    store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(store, LOSSES, "opened")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert main(["dashboard", "opened", "--tracking-uri", "http://host"]) == 0
    assert capsys.readouterr().out == f"The dashboard is at {opened[0]}\n"
    assert opened[0].startswith("http://host")
