"""Connections that fail, whatever carries the ops: typed errors, in time, and no shifted reply."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobq.core.clock import SystemClock
from jobq.errors import StoreDenied, StoreError, StoreUnavailable
from jobq.store.address import Address, parse_url
from jobq.store.ops import enqueue, upkeep
from jobq.store.wire import Op, as_is
from tests.conftest import StartServer
from tests.store.conftest import CARRIERS, carrier
from tests.store.line import Line, Run, problems, waiting
from tests.store.peers import LEAVES, Peer, certify
from tests.support.proxy import Fault, Proxy
from tests.support.server import Server
from tests.support.wait import wait_until

EVERY_WAY = pytest.mark.parametrize("kind", CARRIERS)

#: The same where each one takes its time: one that blocks and one that does not in the fast suite.
SOME_WAYS = pytest.mark.parametrize(
    "kind",
    [
        kind
        if kind in {"connection", "async-store"}
        else pytest.param(kind, marks=pytest.mark.slow)
        for kind in CARRIERS
    ],
)


def echo(text: str) -> Op[bytes]:
    return Op(("ECHO", text), as_is)


@pytest.fixture(params=CARRIERS)
def far(request: pytest.FixtureRequest, proxy: Proxy) -> Iterator[Run]:
    """Carries ops through the proxy."""
    with carrier(request.param, proxy.url) as run:
        yield run


# ---------------------------------------------------------------------------- nobody there


@EVERY_WAY
@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "redis://[::1]:1",
        "redis://no-such-host.invalid",
        f"redis://{'a' * 70}.b",
        "unix:///tmp/there-is-no-such-socket",
        f"unix:///tmp/{'long' * 50}",
        "rediss://127.0.0.1:1?ssl_ca_certs=/no/such/file",
    ],
)
def test_nobody_answers(kind: str, url: str) -> None:
    with carrier(kind, url, patience=0.0) as run:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="cannot reach Redis at"):
                run(echo("x"))


@EVERY_WAY
def test_an_error_of_locate_is_raised_as_it_is(kind: str) -> None:
    def locate() -> Address:
        raise LookupError("no server can be started")

    with carrier(kind, "redis://unused", locate=locate) as run:
        for _ in range(2):
            with pytest.raises(LookupError, match="no server can be started"):
                run(echo("x"))


@SOME_WAYS
def test_a_black_hole(proxy: Proxy, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobq.store.connection.REPLY_TIMEOUT", 0.3)
    monkeypatch.setattr("jobq.store.multiplex.REPLY_TIMEOUT", 0.3)
    monkeypatch.setattr("jobq.store.multiplex.CONNECT_TIMEOUT", 0.3)
    with carrier(kind, proxy.url, patience=0.5) as run:
        assert run(echo("a")) == b"a"
        proxy.black_hole()
        start = SystemClock().monotonic()
        with pytest.raises(StoreUnavailable):
            run(echo("b"))
        assert SystemClock().monotonic() - start < 4
        proxy.restore()
        assert run(echo("c")) == b"c"


@EVERY_WAY
def test_a_frozen_server_is_waited_for(start_server: StartServer, kind: str) -> None:
    frozen = start_server()
    with carrier(kind, frozen.url) as run:
        line = Line(run).open()
        frozen.pause()
        thaw = threading.Timer(0.3, frozen.resume)
        thaw.start()
        assert line.add("a") == 1
        thaw.join()
        assert waiting(frozen) == ["a"]


def test_a_slow_network(far: Run, proxy: Proxy, server: Server) -> None:
    line = Line(far).open()
    proxy.delay(0.05)
    for name in ("a", "b"):
        assert line.add(name) == 1
    assert waiting(server) == ["a", "b"]


# ---------------------------------------------------------------------------- cut


def test_client_kill(far: Run, proxy: Proxy, server: Server) -> None:
    line = Line(far).open()
    names = [f"job{number}" for number in range(5)]
    for name in names:
        server.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert line.add(name) == 1
    assert waiting(server) == names
    assert problems(server) == []


@EVERY_WAY
def test_a_restarted_server(start_server: StartServer, kind: str) -> None:
    mine = start_server(appendonly=True)
    with carrier(kind, mine.url) as run:
        line = Line(run).open()
        line.add("a")
        mine.kill()
        mine.start()
        line.add("b")
        mine.restart()
        assert [one.job_id for one in line.read(5)] == [b"a", b"b"]
        assert problems(mine) == []


@EVERY_WAY
@pytest.mark.parametrize("unique", [False, True], ids=["", "unique"])
def test_an_enqueue_that_was_done_by_a_server_before_it_died(
    start_server: StartServer, kind: str, unique: bool
) -> None:
    """The new one knows no scripts; that it says so must not look as if nothing was done."""
    mine = start_server(appendonly=True)
    op: Op[Any] = (enqueue.enqueue_unique if unique else enqueue.enqueue)("mail", "b", b"call")
    with Proxy(mine.url) as proxy, carrier(kind, proxy.url) as run:
        Line(run).open().add("a")
        run(enqueue.enqueue_unique("mail", "0", b""))
        fault = proxy.lose_reply("EVALSHA")
        restart = restarting(mine, fault, 3)
        assert run(op) == (True if unique else 0)
        restart.join()
        assert waiting(mine) == ["a", "0", "b"]


@pytest.mark.slow
@EVERY_WAY
def test_an_enqueue_that_was_done_by_a_server_that_now_loads(
    start_server: StartServer, kind: str
) -> None:
    mine = start_server({"key-load-delay": "300"}, appendonly=True)  # us for each command
    with Proxy(mine.url) as proxy, carrier(kind, proxy.url) as run:
        line = Line(run).open()
        with mine.connect() as client:
            for number in range(5000):
                client.set(f"jobq:{{x}}:result:{number}", "x", px=600_000)
        line.add("a")
        fault = proxy.lose_reply("EVALSHA")
        restart = restarting(mine, fault, 2)
        assert line.run(enqueue.enqueue("mail", "b", b"call of b")) == 0
        restart.join()
        assert waiting(mine) == ["a", "b"]


def restarting(server: Server, fault: Fault, entries: int) -> threading.Thread:
    """Kill and start a server as soon as a fault has happened, and that many jobs are there."""

    def restart() -> None:
        fault.wait()
        wait_until(lambda: len(waiting(server)) == entries, "it was enqueued")
        server.kill()
        server.start()

    thread = threading.Thread(target=restart)
    thread.start()
    return thread


# ---------------------------------------------------------------------------- other peers


@EVERY_WAY
@pytest.mark.parametrize(
    "says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x16", b"hello\n"]
)
def test_a_peer_that_is_not_redis(kind: str, says: bytes) -> None:
    with (
        Peer(lambda _number, _command: says) as peer,
        carrier(kind, peer.url, patience=0.0) as run,
        pytest.raises(StoreUnavailable, match="is not Redis"),
    ):
        run(echo("x"))


@EVERY_WAY
def test_a_peer_that_hangs_up(kind: str) -> None:
    with Peer(lambda _number, _command: None) as peer:
        refused = pytest.raises(StoreUnavailable, match="closed the connection")
        with carrier(kind, peer.url, patience=0.3) as run, refused:
            run(echo("x"))
        assert peer.connections > 1, "it tried again"


@EVERY_WAY
def test_half_a_reply(kind: str) -> None:
    """And in the same packet the end, again and again; then it is well."""
    peer: Peer

    def says(_number: int, command: tuple[bytes, ...]) -> bytes | None:
        if command[0] != b"ECHO":
            return greeted(command)
        return b"$5\r\nwhole\r\n" if peer.connections > 4 else b"$5\r\nwh" + LEAVES

    with Peer(says) as peer, carrier(kind, peer.url) as run:
        assert run(echo("x")) == b"whole"


@SOME_WAYS
@pytest.mark.parametrize("last", [b"CLIENT", b"TIME", b"PING"])
def test_a_peer_that_leaves_while_it_is_greeted(kind: str, last: bytes) -> None:
    peer: Peer

    def says(_number: int, command: tuple[bytes, ...]) -> bytes | None:
        if command[0] == b"ECHO":
            return b"$1\r\nx\r\n" if peer.connections > 4 else None
        return greeted(command) + (LEAVES if command[0] == last and peer.connections < 5 else b"")

    with Peer(says) as peer, carrier(kind, peer.url) as run:
        assert run(echo("x")) == b"x"
        assert peer.connections == 5


def greeted(command: tuple[bytes, ...]) -> bytes:
    """Answer a command of the greeting."""
    return b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n" if command[0] == b"TIME" else b"+OK\r\n"


# ---------------------------------------------------------------------------- ways to be addressed


@EVERY_WAY
def test_tcp_and_unix_with_user_and_db(start_server: StartServer, kind: str) -> None:
    port = _free_port()
    mine = start_server({"port": str(port), "bind": "127.0.0.1"})
    mine.cli("ACL", "SETUSER", "ada", "on", ">p@ss/word?", "~*", "&*", "+@all")
    for url in (
        f"redis://ada:p%40ss%2Fword%3F@127.0.0.1:{port}/3",
        f"unix://ada:p%40ss%2Fword%3F@{mine.socket}?db=3",
        f"redis://127.0.0.1:{port}/3",
    ):
        with carrier(kind, url) as run:
            assert Line(run).open().add("a") == 1
            assert run(Op(("ACL", "WHOAMI"), as_is)) == (b"ada" if "ada" in url else b"default")
    assert mine.cli("DBSIZE") == 0
    with mine.connect(db=3) as client:
        assert client.xlen("jobq:{mail}:jobs") == 3
    refused = pytest.raises(StoreError, match="DB index is out of range")
    with carrier(kind, f"redis://127.0.0.1:{port}/99", patience=0.0) as run, refused:
        run(echo("x"))


@EVERY_WAY
def test_tls(start_server: StartServer, tls: tuple[int, dict[str, str]], kind: str) -> None:
    port, files = tls
    ca = f"ssl_ca_certs={files['ca.crt']}"
    with carrier(kind, f"rediss://localhost:{port}?{ca}") as run:
        line = Line(run).open()
        assert line.add("a") == 1
        assert [one.job_id for one in line.read(5)] == [b"a"]
    good = [
        f"127.0.0.1:{port}?{ca}&ssl_check_hostname=false",
        f"127.0.0.1:{port}?ssl_cert_reqs=none",
    ]
    for rest in good:
        with carrier(kind, f"rediss://{rest}") as run:
            assert run(echo("x")) == b"x"
    for rest in (
        f"127.0.0.1:{port}?{ca}",
        f"localhost:{port}",
        f"localhost:{port}?ssl_ca_certs=/no",
    ):
        refused = pytest.raises(StoreUnavailable, match="cannot reach Redis at rediss://")
        with carrier(kind, f"rediss://{rest}", patience=0.0) as run, refused:
            run(echo("x"))


@pytest.fixture
def tls(
    start_server: StartServer, server_binary: Path, tmp_path: Path
) -> tuple[int, dict[str, str]]:
    """A server on a TLS port, and the files of its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    files = certify(tmp_path)
    port = _free_port()
    settings = {
        "tls-port": str(port),
        "tls-cert-file": files["s.crt"],
        "tls-key-file": files["s.key"],
        "tls-ca-cert-file": files["ca.crt"],
        "tls-auth-clients": "no",
    }
    try:
        start_server(settings)
    except AssertionError:
        pytest.skip(f"{server_binary.name} has no TLS")
    return port, files


@EVERY_WAY
def test_plain_words_to_a_tls_port(tls: tuple[int, dict[str, str]], kind: str) -> None:
    refused = pytest.raises(StoreUnavailable)
    with carrier(kind, f"redis://localhost:{tls[0]}", patience=0.0) as run, refused:
        run(echo("x"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


# ---------------------------------------------------------------------------- what is left open


def test_a_denied_connection_leaves_nothing_open(start_server: StartServer) -> None:
    mine = start_server({"requirepass": "right"})
    with carrier("store", f"unix://:wrong@{mine.socket}") as run:
        for _ in range(20):
            with pytest.raises(StoreDenied):
                run(upkeep.time_ms())
    wait_until(lambda: b"connected_clients:1\r" in mine.cli("INFO", "clients"), "all are closed")
    assert parse_url(mine.url).path == os.fspath(mine.socket)
