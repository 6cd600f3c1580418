"""TLS: jobs travel over it, the server is checked, and errors say what is missing."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from jobq import JobQ
from jobq.errors import StoreUnavailable
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import ASYNC, COMMON
from tests.store.peers import certify
from tests.support.server import Server

APP = """
@app.job
def add(a, b):
    return a + b
"""

StartTls = Callable[[str], tuple[Server, int]]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An authority, and its certificate for ``localhost``, of the server and of its clients."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return certify(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def start_tls(start_server: StartServer, server_binary: Path, files: dict[str, str]) -> StartTls:
    """Start a server with TLS: ``start_tls("yes")`` wants certificates of its clients."""

    def start(clients: str) -> tuple[Server, int]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port: int = taken.getsockname()[1]
        settings = {
            "tls-port": str(port),
            "tls-cert-file": files["s.crt"],
            "tls-key-file": files["s.key"],
            "tls-ca-cert-file": files["ca.crt"],
            "tls-auth-clients": clients,
        }
        try:
            return start_server(settings), port
        except AssertionError:
            pytest.skip(f"{server_binary.name} has no TLS; set JOBQ_TEST_SERVER to one that has")

    return start


async def test_the_whole_way_with_certificates_on_both_sides(
    start_tls: StartTls, make_ground: MakeGround, files: dict[str, str]
) -> None:
    server, port = start_tls("yes")
    ours = f"ssl_certfile={files['s.crt']}&ssl_keyfile={files['s.key']}"
    ground = make_ground(server, f"rediss://localhost:{port}?ssl_ca_certs={files['ca.crt']}&{ours}")
    ground.write(COMMON, ASYNC, APP)
    worker = ground.worker()
    async with JobQ(ground.url) as app:
        assert app.send("jobs.add", 1, 2).result(20) == 3
        handle = await app.asend("jobs.aslow", 1, 0)
        assert await handle.aresult(20) == 1
        many = app.job(name="jobs.add")(lambda a, b: a + b).map([(n, 1) for n in range(2000)])
        assert many[-1].result(20) == 2000
    worker.terminate()
    assert worker.wait(20) == 0


def problem(url: str) -> str:
    with JobQ(url) as app:
        app.store.patience = 0.0
        with pytest.raises(StoreUnavailable) as caught:
            app.send("f")
    return str(caught.value)


async def aproblem(url: str) -> str:
    async with JobQ(url) as app:
        app.astore._patience = 0.0
        with pytest.raises(StoreUnavailable) as caught:
            await app.asend("f")
    return str(caught.value)


async def test_a_server_that_cannot_be_trusted_is_refused(
    start_tls: StartTls, files: dict[str, str]
) -> None:
    server, port = start_tls("yes")
    del server
    ca = f"ssl_ca_certs={files['ca.crt']}"
    faults = [
        (f"rediss://:sesame@localhost:{port}", "?ssl_ca_certs=/path/ca.pem"),
        (f"rediss://:sesame@127.0.0.1:{port}?{ca}", "?ssl_check_hostname=false"),
        (f"rediss://:sesame@localhost:{port}?ssl_ca_certs=/no", "ssl_ca_certs, ssl_certfile or"),
        (f"rediss://:sesame@localhost:{port}?{ca}", "?ssl_certfile=/path/crt.pem"),
    ]
    for url, fix in faults:
        for said in (problem(url), await aproblem(url)):
            assert fix in said
            assert "sesame" not in said


@pytest.mark.slow
def test_a_server_without_tls(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    start_server({"port": str(port)})
    said = problem(f"rediss://localhost:{port}")
    assert "or redis:// without TLS" in said
