"""`jobq metrics`: the metrics for Prometheus, once or for as long as it runs."""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final

import click

from jobq.cli.addresses import address
from jobq.cli.opening import PATIENCE, open_app
from jobq.cli.options import redis_options
from jobq.cli.output import say
from jobq.client.snapshot import Snapshots
from jobq.core.clock import Clock, SystemClock
from jobq.core.snapshot import Snapshot
from jobq.errors import StoreError
from jobq.observe.listening import address_of, listen
from jobq.observe.logs import configure
from jobq.observe.metrics import text
from jobq.observe.serving import serve
from jobq.store.address import parse_url
from jobq.store.sync import Store

log = logging.getLogger("jobq.metrics")

#: Seconds for which one reading answers all who ask.
FRESH: Final = 1.0


@click.command()
@click.option(
    "--listen",
    "where",
    metavar="HOST:PORT",
    callback=address,
    help="Serve /metrics, /healthz and /readyz there until stopped, such as 127.0.0.1:9464.",
)
@redis_options
def metrics(where: str | None, url: str | None, app: str | None) -> None:
    """Write the metrics for Prometheus once; or serve them.

    What they mean: docs/guide/monitoring.md.
    """
    snapshots = Snapshots(open_app(url, app).store)
    if where is None:
        click.echo(text(snapshots.read())[0], nl=False)
        return
    with contextlib.closing(listen(where)) as listening, _stop() as stopped:
        configure("text", verbose=False)
        say(f"Metrics on http://{address_of(listening)}/metrics, until Ctrl-C.", err=True)
        serve(listening, Exporter(snapshots), stopped.is_set)


def serve_url(url: str, listening: socket.socket, is_over: Callable[[], bool]) -> None:
    """Serve the metrics of a Redis until it is over.

    Args:
        url: of the Redis.
        listening: where.
        is_over: asked twice a second.
    """
    found = parse_url(url)
    serve(listening, Exporter(Snapshots(Store(lambda: found, patience=PATIENCE))), is_over)


class Exporter:
    """The pages that are served, read anew when they are asked for; safe for threads.

    Args:
        snapshots: reads them.
        clock: tells how old a reading is.
    """

    def __init__(self, snapshots: Snapshots, clock: Clock = SystemClock()) -> None:
        self._snapshots = snapshots
        self._clock = clock
        self._lock = threading.Lock()
        self._last = Snapshot()
        self._read_at = -FRESH
        self._problem = ""

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics; of a Redis that is away, only that."""
        with self._lock:  # however many ask, Redis is read once
            if self._clock.monotonic() >= self._read_at + FRESH:
                self._last = self._read()
                self._read_at = self._clock.monotonic()
            last = self._last
        return text(last, accept)

    def is_ready(self) -> bool:
        """Tell whether Redis answers."""
        return self._snapshots.is_there()

    def _read(self) -> Snapshot:
        problem = ""
        try:
            return self._snapshots.read()
        except StoreError as error:
            problem = str(error)
            if problem != self._problem:  # one line for each change
                log.warning("cannot read metrics error=%s", error)
            return Snapshot()
        finally:
            self._problem = problem


@contextlib.contextmanager
def _stop() -> Iterator[threading.Event]:
    """Let signals say that it is over, instead of ending the process in the middle of an answer."""
    over = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: over.set()) for number in numbers]
    try:
        yield over
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
