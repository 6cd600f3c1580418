"""The little web server: whatever clients do, the next one is served."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from jobq.errors import ConfigError
from jobq.observe import serving
from jobq.observe.listening import address_of, host_and_port, listen
from jobq.observe.serving import AT_ONCE, serve
from tests.support.wait import wait_until


class Pages:
    """Pages that can fail."""

    ready = True
    broken = False

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return what was asked for."""
        if self.broken:
            raise KeyError("oops")
        return b"accept " + accept.encode() + b"\n", "text/plain"

    def is_ready(self) -> bool:
        """Tell what the test says."""
        return self.ready


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def port(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(serving, "_LOOK", 0.02)
    listening = listen("127.0.0.1:0")
    over = threading.Event()
    port = int(address_of(listening).rpartition(":")[2])
    thread = threading.Thread(target=serve, args=(listening, pages, over.is_set))
    thread.start()
    yield port
    over.set()
    thread.join(10)
    assert not thread.is_alive()


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        client.request(method, path, headers={"Accept": "a/b"})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


def test_the_pages(port: int, pages: Pages) -> None:
    assert get(port, "/metrics") == get(port, "/metrics?x=1") == (200, b"accept a/b\n")
    assert get(port, "/metrics", "HEAD") == (200, b"")
    assert get(port, "/healthz") == get(port, "/readyz") == (200, b"ok\n")
    assert get(port, "/")[0] == get(port, "/metrics/../etc")[0] == 404
    assert get(port, "/metrics", "POST")[0] == 501
    pages.ready = False
    assert get(port, "/readyz")[0] == 503
    assert get(port, "/healthz")[0] == 200, "a Redis that is away must end no worker"


def test_a_page_that_fails_is_the_last_of_its_kind_only(
    port: int, pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    pages.broken = True
    assert get(port, "/metrics")[0] == 500
    assert "failed" in caplog.text
    pages.broken = False
    assert get(port, "/metrics")[0] == 200


def test_clients_that_say_nothing_do_not_hold_it_up(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PATIENCE", 0.3)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(2 * AT_ONCE)
        ]
        silent[0].sendall(b"GET /metr")

        def answers() -> bool:
            try:
                return get(port, "/healthz")[0] == 200
            except OSError:  # turned away
                return False

        wait_until(answers, "those that are late were cut off")


@pytest.mark.parametrize("address", ["9464", ":9464", "host", "host:x", "host:70000", "h:-1", ""])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match="no HOST:PORT"):
        host_and_port(address)


def test_addresses() -> None:
    assert host_and_port("[::1]:0") == ("::1", 0)
    with listen("localhost:0") as first, pytest.raises(ConfigError, match="cannot listen on"):
        listen(address_of(first))
