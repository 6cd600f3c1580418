"""The loop's connections: what is settled while a wait for jobs is out, and what comes late."""

import threading

import pytest
from redis import Redis

from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.errors import StoreUnavailable
from jobq.runtime.board import Board
from jobq.runtime.executors.pump import Pump
from jobq.runtime.intake import Intake
from jobq.runtime.link import Freshness, Link
from jobq.runtime.outbox import Outbox
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import fetch, settle
from jobq.store.ops.enqueue import enqueue
from jobq.store.sync import Store
from tests.support.server import Server
from tests.support.wait import await_until, wait_until

ME = "me"
CALL = Codec().encode_call("jobs.short", (), {}, None)


async def test_a_late_outcome_is_refused_though_the_numbers_agree(
    server: Server, redis: Redis, store: Store
) -> None:
    """One job was taken over, and one came that we have not seen: we hold as many as Redis says."""
    outbox, board = Outbox(["default"], ME, Board()), Board()
    intake = Intake(["default"], ME, outbox, board)
    pump = Pump(
        lambda: parse_url(server.url),
        intake,
        outbox,
        board,
        consumer=ME,
        stopping=lambda: False,
        freshness=Freshness(SystemClock(), 30.0),
    )
    try:
        await pump.connect()
        store.run(enqueue("default", "mine", CALL))
        assert await pump.fetch(1, fetch.ANY, new=True) == 1
        item = intake.waiting.popleft()
        reading = pump.start_wait(5.0)
        store.run(enqueue("default", "unseen", CALL))
        await await_until(reading.done, "the other job is here")
        lost = settle.Attempt("default", ME, item[1], b"mine")
        assert store.run(settle.release(lost, CALL, delay=60, kind=fetch.ANY))
        assert redis.xpending(keys.jobs("default"), "jobq")["pending"] == 1

        outbox.done["default"].append(
            (item[1], b"mine", 60_000, b"late", item[5], "job", item[1], (1.0, 2.0))
        )
        await pump.flush()

        assert redis.hget(keys.index("default"), "mine") is not None, "the job still lives"
        assert redis.get(keys.result("default", "mine")) is None
        await pump.woke(reading)
        assert len(intake.waiting) == 1
    finally:
        await pump.close()


class Time(SystemClock):
    """A clock that can be put forward."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def test_what_is_read_later_than_the_lease_is_asked_for_again(
    server: Server, store: Store
) -> None:
    """A job held Python's lock: a reaper has released one of two deliveries that nobody read."""
    outbox, board, clock = Outbox(["default"], ME, Board()), Board(), Time()
    intake = Intake(["default"], ME, outbox, board)
    pump = Pump(
        lambda: parse_url(server.url),
        intake,
        outbox,
        board,
        consumer=ME,
        stopping=lambda: False,
        freshness=Freshness(clock, 30.0),
    )
    try:
        await pump.connect()
        for name in ("first", "second"):
            reading = pump.start_wait(5.0)
            store.run(enqueue("default", name, CALL))
            await await_until(reading.done, "the job is here")
            clock.ahead += 40.0
            if name == "first":
                (held,) = store.run(fetch.mine("default", keys.jobs("default"), ME))
                lost = settle.Attempt("default", ME, held.entry, b"first")
                assert store.run(settle.release(lost, CALL, delay=60, kind=fetch.ANY))
            with pytest.raises(StoreUnavailable):
                await pump.woke(reading)
            assert not intake.waiting
            with pytest.raises(StoreUnavailable):
                await pump.fetch(1, fetch.ANY, new=True)
            await pump.connect()
        assert [item[2][0] for item in intake.waiting if item[2]] == [b"second"]
    finally:
        await pump.close()


def test_the_same_without_a_loop(server: Server, redis: Redis, store: Store) -> None:
    outbox, board, clock = Outbox(["default"], ME, Board()), Board(), Time()
    intake = Intake(["default"], ME, outbox, board)
    connection = Connection(lambda: parse_url(server.url))
    link = Link(
        connection,
        intake,
        outbox,
        board,
        consumer=ME,
        stop=threading.Event(),
        freshness=Freshness(clock, 30.0),
    )
    try:
        link.connect()
        store.run(enqueue("default", "first", CALL))
        store.run(enqueue("default", "second", CALL))
        link.begin([fetch.read("default", ME, 2, 0.0)])
        wait_until(lambda: redis.xpending(keys.jobs("default"), "jobq")["pending"] == 2, "taken")
        clock.ahead = 40.0
        first, _ = store.run(fetch.mine("default", keys.jobs("default"), ME))
        lost = settle.Attempt("default", ME, first.entry, b"first")
        assert store.run(settle.release(lost, CALL, delay=60, kind=fetch.ANY))
        with pytest.raises(StoreUnavailable):
            link.finish()
        assert not intake.waiting
        link.connect()
        assert [item[2][0] for item in intake.waiting if item[2]] == [b"second"]
    finally:
        connection.close()
