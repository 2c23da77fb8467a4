"""A server with a private certificate and a password, as in companies."""

import base64
import datetime as dt
import http.client
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import make_classification

from skmlp import MLPClassifier
from skmlp.tracking import MLflowCallback, TrackingWarning, replay
from skmlp.tracking.sender import RemoteStore
from skmlp.tracking.store import why_unreachable

pytestmark = pytest.mark.usefixtures("nothing_given_up")
LOGIN = "Basic " + base64.b64encode(b"me:s3cret").decode()


def write_certificate(folder: Path) -> tuple[str, str]:
    """Write a self-signed certificate for 127.0.0.1; return its file and that of its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(files[0]), str(files[1])


class Gate:
    """A TLS proxy that asks for a password and forwards requests to the server."""

    def __init__(self, folder: Path, port: int) -> None:
        self.certificate, key = write_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)

        class Handler(BaseHTTPRequestHandler):
            def forward(self) -> None:
                if self.headers["Authorization"] != LOGIN:
                    self.answer(401, b"{}")
                    return
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                behind = http.client.HTTPConnection("127.0.0.1", port)
                headers = {"Content-Type": self.headers["Content-Type"] or "text/plain"}
                behind.request(self.command, self.path, body, headers)
                answer = behind.getresponse()
                self.answer(answer.status, answer.read())
                behind.close()

            do_GET = do_POST = do_PUT = do_PATCH = forward  # noqa: N815

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None: ...  # a client that does not trust the certificate disconnects

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def gate(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    gate = Gate(tmp_path_factory.mktemp("gate"), server.port)
    yield gate
    gate.close()


def network() -> Any:
    return MLPClassifier((4,), max_iter=3, random_state=0)


X, Y = make_classification(80, n_features=5, random_state=0)


@pytest.mark.parametrize(
    "setting", ["REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"]
)
def test_mlflows_settings_make_a_certificate_trusted(setting: str, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore(f"https://{gate.address}")
    assert not store.is_reachable()
    assert "certificate verify failed" in store.silence
    monkeypatch.setenv(setting, "true" if setting.endswith("TLS") else gate.certificate)
    assert store.is_reachable()
    assert store.silence == ""


@pytest.mark.parametrize(
    ("status", "why"),
    [(200, None), (401, None), (404, None), (500, None), (502, "HTTP status 502"), (503, "HTTP status 503")],
)
def test_a_gateway_error_means_that_the_server_is_unreachable(status: int, why: str | None) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gateway:
        thread = threading.Thread(target=gateway.handle_request)
        thread.start()
        assert why_unreachable(f"http://127.0.0.1:{gateway.server_address[1]}") == why
        thread.join()


@pytest.mark.parametrize("in_address", [True, False])
def test_a_fit_is_logged_to_a_server_with_a_password(
    in_address: bool, gate: Gate, server_runs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gate.certificate)
    if not in_address:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    uri = f"https://me:s3cret@{gate.address}" if in_address else f"https://{gate.address}"
    experiment = f"private {in_address}"
    callback = MLflowCallback(experiment, tracking_uri=uri, artifacts=in_address, close_timeout=300.0)
    network().set_callbacks(callback).fit(X, Y)
    run = server_runs.top(experiment)
    server_runs.assert_complete([run], 3)
    assert bool(server_runs.files(run)) == in_address
    assert not any("s3cret" in value for value in run.data.tags.values())


def test_warnings_and_files_do_not_contain_the_password(
    gate: Gate, server_runs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uri = f"https://me:s3cret@{gate.address}"
    with pytest.warns(TrackingWarning, match=r"me:\*\*\*@.*does not answer.*certificate verify failed") as caught:
        network().set_callbacks(MLflowCallback("untrusted", tracking_uri=uri, artifacts=False)).fit(X, Y)
    assert not any("s3cret" in str(warning.message) for warning in caught)
    (file,) = (tmp_path / "skmlp-mlflow-spool").iterdir()
    assert "s3cret" not in file.read_text()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", gate.certificate)
    assert replay(file, tracking_uri=uri).rejected == []
    assert len(server_runs.all("untrusted")) == 1
