"""Queues with a limit: what is beyond it is refused whole, and says so."""

import asyncio

import pytest

from jobq import JobQ
from jobq.errors import DuplicateJob, OptionError, QueueFull, StoreUnavailable
from jobq.store import keys
from jobq.store.ops.enqueue import UNCERTAIN, Full, enqueue_bounded
from jobq.store.sync import Store
from tests.store.line import everything, resent
from tests.support.server import Server


def function(n: int) -> int:
    return n


@pytest.fixture
def small(server: Server) -> JobQ:
    """An app whose queues have room for three jobs."""
    return JobQ(server.url, max_queue_size=3)


def size(server: Server) -> tuple[int, int]:
    return server.cli("HLEN", keys.index("default")), server.cli("XLEN", keys.jobs("default"))


def test_a_full_queue_refuses(small: JobQ, server: Server) -> None:
    with small:
        f = small.job(name="f")(function)
        handles = [f.delay(n) for n in range(3)]
        for attempt in (lambda: f.delay(4), lambda: small.send("f", 4)):
            with pytest.raises(QueueFull, match="max_queue_size is 3; nothing was added") as caught:
                attempt()
            error = caught.value
            assert (error.queue, error.size, error.dead, error.limit) == ("default", 3, 0, 3)
        assert size(server) == (3, 3)
        assert handles[0].cancel()
        f.delay(5)
        with pytest.raises(QueueFull):
            f.options(job_id="mine").delay(6)
        small.options(queue="other").send("f", 7)  # each queue has its own room


def test_dead_letters_take_room(small: JobQ, server: Server) -> None:
    with small:
        f = small.job(name="f")(function)
        f.delay(1)
        server.cli("HSET", keys.index("default"), "a", "x1-0", "b", "x2-0")
        server.cli("XADD", keys.dead("default"), "1-0", "a", "")
        server.cli("XADD", keys.dead("default"), "2-0", "b", "")
        with pytest.raises(QueueFull, match="3 jobs, 2 of them dead letters") as caught:
            f.delay(2)
        assert caught.value.dead == 2


def test_a_chunk_is_added_whole_or_not_at_all(server: Server) -> None:
    with JobQ(server.url, max_queue_size=2500) as app:
        f = app.job(name="f")(function)
        with pytest.raises(QueueFull) as caught:
            f.map([(n,) for n in range(3400)])
        assert caught.value.__notes__ == ["map(): 2000 of 3400 jobs were enqueued before that"]
        assert size(server) == (2000, 2000)  # and not the last 400, which would have had room
        assert len(f.map([(n,) for n in range(500)])) == 500


async def test_async_calls_are_refused_too(small: JobQ, server: Server) -> None:
    async with small:
        f = small.job(name="f")(function)
        answers = await asyncio.gather(*(f.adelay(n) for n in range(5)), return_exceptions=True)
        assert sum(isinstance(one, QueueFull) for one in answers) == 2
        with pytest.raises(QueueFull):
            await f.amap([(1,)])
        with pytest.raises(QueueFull):
            await small.asend("f", 1)
    assert size(server) == (3, 3)


def test_ids_of_ones_own(server: Server) -> None:
    with JobQ(server.url, max_queue_size=5, signing_keys={"a": "x" * 16}) as app:
        f = app.job(name="f")(function).options(job_id="mine")
        assert f.delay(1).id == "mine"
        with pytest.raises(DuplicateJob):
            f.delay(2)
    assert size(server) == (1, 1)


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "3"])
def test_a_limit_is_an_int(most: object) -> None:
    with pytest.raises(OptionError, match="max_queue_size is '"):
        JobQ(max_queue_size=most)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- resent


@pytest.fixture
def store(server: Server, small: JobQ) -> Store:
    del server
    return small.store


def test_a_resend_is_told_from_a_new_call(store: Store, server: Server) -> None:
    first = enqueue_bounded("default", [("a", b"1"), ("b", b"2")], 3)
    second = enqueue_bounded("default", [("c", b"3")], 3)
    refused = enqueue_bounded("default", [("d", b"4")], 3)
    run = store.run
    assert run(resent(first, "lane", 10)) == 2
    assert run(resent(first, "lane", 10)) == 0
    assert run(resent(refused, "other", 5)) == 1
    # Two were on their way; the first was refused, the second had room; both are sent again.
    assert run(resent(first, "lane", 11)) == Full(3, 0)
    server.cli("HDEL", keys.index("default"), "d")
    assert run(resent(second, "lane", 12)) == 1
    before = everything(server)
    assert run(resent(second, "lane", 12)) == 0
    assert run(resent(enqueue_bounded("default", [("e", b"5")], 9), "lane", 11)) == UNCERTAIN
    assert run(resent(first, "lane", 10)) == 0  # it is there, so it was added
    assert everything(server) == before


def test_what_cannot_be_told_is_said(small: JobQ) -> None:
    with small:
        f = small.job(name="f")(function)
        sending = f._sending
        with pytest.raises(StoreUnavailable, match="may or may not exist"):
            sending.landed("id", UNCERTAIN)


def test_strange_keys_change_nothing(store: Store, server: Server) -> None:
    op = enqueue_bounded("default", [("a", b"1"), ("b", b"2")], 3)
    server.cli("XADD", keys.jobs("default"), f"{2**64 - 1}-{2**64 - 2}", "x", "y")
    before = everything(server)
    with pytest.raises(Exception, match=r"last possible|exhausted|equal or smaller"):
        store.run(op)
    assert everything(server) == before
    server.cli("DEL", keys.jobs("default"))
    for strange in (keys.index, keys.lanes, keys.jobs):
        server.cli("SET", strange("default"), "x")
        before = everything(server)
        with pytest.raises(Exception, match="WRONGTYPE"):
            store.run(op)
        assert everything(server) == before
        server.cli("DEL", strange("default"))
