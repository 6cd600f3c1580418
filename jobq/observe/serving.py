"""The little web server of the metrics: two pages and two signs of life, for whoever scrapes.

Guarantees:
    * no client holds it up: each has some seconds in all, and only a few are served at once.
"""

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Protocol

from jobq.core.clock import Clock, SystemClock

log = logging.getLogger("jobq.metrics")

#: Clients that are served at once; those beyond are turned away.
AT_ONCE: Final = 8

#: Seconds that a client has for all of its request and the answer.
PATIENCE: Final = 10.0

#: Seconds between two looks whether the server is to end.
_LOOK: Final = 0.5

_TEXT: Final = "text/plain; charset=utf-8"

_LOST: Final = b"jobq: /metrics, /healthz and /readyz are here\n"


class Pages(Protocol):
    """What is served."""

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type, in a form that the client accepts."""
        ...

    def is_ready(self) -> bool:
        """Tell whether Redis answers."""
        ...


def serve(
    listening: socket.socket,
    pages: Pages,
    is_over: Callable[[], bool] = lambda: False,
    clock: Clock = SystemClock(),
) -> None:
    """Serve until it is over.

    Args:
        listening: of `jobq.observe.listening`.
        pages: what is served; asked by several threads at once.
        is_over: asked twice a second.
    """
    server = _Server(listening, pages, is_over, clock)
    try:
        server.serve_forever(poll_interval=_LOOK)
    except _Over:
        return
    finally:
        server.server_close()


class _Over(Exception):
    """The server is to end."""


class _Server(ThreadingHTTPServer):
    """Threads for a few clients, each with a deadline."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listening: socket.socket, pages: Pages, is_over: Callable[[], bool], clock: Clock
    ) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()  # the one that it has made
        self.socket = listening
        self.address_family = listening.family
        self.pages = pages
        self._is_over = is_over
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, float] = {}

    def verify_request(self, request: object, client_address: object) -> bool:
        """Turn a client away while others are served; both arguments are the library's."""
        del client_address
        assert isinstance(request, socket.socket)
        with self._lock:
            if len(self._clients) >= AT_ONCE:
                return False
            self._clients[request] = self._clock.monotonic() + PATIENCE
        return True

    def shutdown_request(self, request: object) -> None:
        """Close the connection of a client."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off clients that are late, and end the server when it is over."""
        now = self._clock.monotonic()
        with self._lock:
            for client, until in self._clients.items():
                if now > until:
                    _cut(client)
        if self._is_over():
            raise _Over  # shutdown() would wait for this very thread

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away in the middle."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    timeout = PATIENCE
    server_version = "jobq"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with one of the pages."""
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(*self._metrics())
            case "/healthz":
                self._answer(200, b"ok\n", _TEXT)
            case "/readyz":
                is_ready = self.server.pages.is_ready()
                said = b"ok\n" if is_ready else b"redis cannot be reached\n"
                self._answer(200 if is_ready else 503, said, _TEXT)
            case _:
                self._answer(404, _LOST, _TEXT)

    do_HEAD = do_GET  # noqa: N815  the library's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Say nothing: each scrape would be a line."""

    def _metrics(self) -> tuple[int, bytes, str]:
        try:
            return 200, *self.server.pages.metrics(self.headers.get("Accept", ""))
        except Exception:  # whatever it is, the next scrape gets another chance
            log.exception("metrics failed")
            return 500, b"jobq: the log says what went wrong\n", _TEXT

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _cut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
