"""A worker whose supervisor has died keeps its leases until it ends."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.runtime.board import LOST, Board, Note
from jobq.runtime.intake import Intake
from jobq.runtime.orphan import Guard
from jobq.runtime.outbox import Outbox
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import fetch, settle, upkeep
from jobq.store.ops.enqueue import enqueue
from jobq.store.sync import Store
from tests.runtime.stage import name_of
from tests.support.server import Server
from tests.support.wait import wait_until

ME = "me"
CALL = Codec().encode_call("jobs.slow", (), {}, None)

#: No process has it.
NOBODY = -1


@pytest.fixture
def taken() -> Iterator[list[str]]:
    """What the handler of the signal has been told: nothing but that it came."""
    came: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append("signal"))
    yield came
    signal.signal(signal.SIGUSR1, before)


def hold(store: Store, board: Board) -> None:
    store.run(upkeep.regroup("default"))
    store.run(enqueue("default", "one", CALL))
    store.run(enqueue("default", "two", CALL))
    intake = Intake(["default"], ME, Outbox(["default"], ME, Board()), board)
    intake.new("default", store.run(fetch.read("default", ME, 2, 0.0)))


def guard(url: str, board: Board, stop: Callable[[], None]) -> Guard:
    return Guard(
        NOBODY,
        stop,
        lambda: Connection(lambda: parse_url(url)),
        board,
        queues=["default"],
        consumer=ME,
        lease=0.2,
        clock=SystemClock(),
    )


def test_it_renews_and_tells_what_is_lost(
    server: Server, redis: Redis, store: Store, taken: list[str]
) -> None:
    board, stopped = Board(), threading.Event()
    hold(store, board)
    entry = board.read()[1].entry
    assert store.run(
        settle.release(
            settle.Attempt("default", ME, entry.encode(), b"two"), CALL, delay=60, kind=fetch.ANY
        )
    )
    one = guard(server.url, board, stopped.set)
    one.start()
    assert stopped.wait(5)
    notes: list[Note] = wait_until(board.notes, "it has told")
    assert notes == [(LOST, name_of(board.read()[1]))]
    wait_until(lambda: taken, "the signal came")
    first = board.renewed
    wait_until(lambda: board.renewed > first + 0.3, "it goes on")
    (row,) = redis.xpending_range(keys.jobs("default"), "jobq", "-", "+", 10)
    assert int(row["time_since_delivered"]) < 300
    assert not board.notes(), "it is told once"
    one.end()
    one.join(5)


def test_without_redis_it_says_so_once_and_goes_on(
    server: Server, store: Store, caplog: pytest.LogCaptureFixture, taken: list[str]
) -> None:
    del taken
    board = Board()
    hold(store, board)
    with caplog.at_level(logging.WARNING, "jobq.worker"):
        one = guard("unix:///nowhere/s", board, lambda: None)
        one.start()
        wait_until(lambda: "could not renew leases" in caplog.text, "it says so")
        # Three more rounds have passed when it has waited this long.
        one.join(0.2)
        assert one.is_alive()
    assert caplog.text.count("could not renew leases") == 1
    assert board.renewed == 0
    one.end()
    one.join(5)
    del server
