"""Passwords in addresses do not appear in any output or file."""

from pathlib import Path
from typing import Any

import pytest

from skmlp.tracking import MLflowCallback, replay
from skmlp.tracking.addresses import masked, masked_errors, without_login
from skmlp.tracking.journal import CreateRun
from skmlp.tracking.outbox import Unsent
from skmlp.tracking.spool import Spool
from skmlp.tracking.store import why_unreachable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:secret@host:5000/path", "https://me:***@host:5000/path"),
        ("postgresql+psycopg2://me:secret@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("https://me:sec@ret@host/", "https://me:***@host/"),
        ("postgresql://me:sec/ret@host/db", "postgresql://me:***@host/db"),
        ("https://:secret@host", "https://:***@host"),
        ("call to https://me:secret@host/api failed: https://you:secret@other", None),
        ("postgresql://host/db?user=me&password=secret&sslmode=require", None),
        ("mssql+pyodbc://host/db?PWD=secret", None),
        ("{'uri': 'https://me:secret@host'}", "{'uri': 'https://me:***@host'}"),
    ],
)
def test_passwords_are_masked(text: str, shown: str | None) -> None:
    assert "secret" not in masked(text)
    assert "ret@" not in masked(text)
    assert "host" in masked(text)
    assert shown is None or masked(text) == shown
    assert masked(masked(text)) == masked(text)


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:5000/#/experiments/1", "sqlite:////home/me/mlflow.db", "https://me@host", "a: b@c", ""]
)
def test_texts_without_passwords_are_not_changed(text: str) -> None:
    assert masked(text) == text


def test_without_login_removes_user_and_password() -> None:
    assert without_login("https://me:secret@host:5000/mlflow") == "https://host:5000/mlflow"
    assert without_login("http://127.0.0.1:5000") == "http://127.0.0.1:5000"


def test_masked_errors_keep_type_and_code() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    with pytest.raises(MlflowException, match=r"^no https://me:\*\*\*@host$") as error, masked_errors():
        raise MlflowException("no https://me:secret@host", error_code=INVALID_PARAMETER_VALUE)
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(KeyError, match="other"), masked_errors():
        raise KeyError("other")


def test_repr_and_reasons_contain_no_password() -> None:
    callback = MLflowCallback(tracking_uri="https://me:secret@127.0.0.1:9")
    assert repr(callback) == "MLflowCallback(tracking_uri='https://me:***@127.0.0.1:9')"
    unsent = Unsent("path")
    unsent.add_reason(OSError("no https://me:secret@host"))
    unsent.add_refused(["https://me:secret@host"])
    assert "secret" not in repr(unsent)
    assert "secret" not in (why_unreachable("http://me:secret@127.0.0.1:9") or "")


def test_a_replay_takes_the_password_from_the_tracking_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "postgresql://me:secret@host/db"
    spool = Spool(tmp_path / "spool", uri, "session")
    spool.write([CreateRun("run", "run", "test", None, None, 1, {})])
    assert "secret" not in spool.path.read_text()
    with pytest.raises(ValueError, match=r"whose password was not stored.*MLFLOW_TRACKING_URI"):
        replay(spool.path)
    sent_to: list[str] = []

    def store(uri: str, **_: Any) -> Any:
        sent_to.append(uri)
        raise InterruptedError

    monkeypatch.setattr("skmlp.tracking.spool.Store", store)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InterruptedError):
        replay(spool.path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(InterruptedError):
        replay(spool.path, tracking_uri=uri)
    assert sent_to == [uri, uri]
