"""How long a worker waits for jobs."""

import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from redis import Redis

from jobq.core.codec import Codec
from jobq.core.lines import line_of
from jobq.errors import StoreError
from jobq.runtime.board import Board
from jobq.runtime.intake import BLOCK, Intake
from jobq.runtime.outbox import Outbox
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import fetch, inspect, manage, settle, upkeep
from jobq.store.ops.enqueue import enqueue, enqueue_special
from jobq.store.ops.fetch import Claimed
from jobq.store.ops.settle import Attempt


def intake(*queues: str) -> Intake:
    return Intake(queues, "me", Outbox(queues, "me", Board()), Board())


def test_a_wait_ends_when_the_next_retry_is_due() -> None:
    one = intake("a", "b")
    for source, next_due in zip(one.sources, (5000, 250), strict=True):
        one.took(source, [Claimed([], next_due)])
    assert one.block() == 0.25


def test_a_wait_is_short_all_the_same() -> None:
    one = intake("a")
    one.took(one.sources[0], [Claimed([], None)])
    assert one.block() == BLOCK


def test_what_is_due_for_others_makes_nobody_spin() -> None:
    """A suspect that waits for a process of its own, a sync job that waits for the thread."""
    one = intake("a")
    one.took(one.sources[0], [Claimed([], 0)])
    assert one.block() == BLOCK


def test_a_group_that_is_gone_again_and_again_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = intake("a")
    gone, there = StoreError("gone", code="NOGROUP"), Claimed([], None)
    (source,) = one.sources
    with caplog.at_level(logging.WARNING, "jobq.worker"):
        for _ in range(3):
            assert len(one.took(source, [there, gone])[1]) == 1
            assert len(one.woke(gone)[1]) == 1
        assert caplog.text.count("made group anew") == 1
        one.took(source, [there, []])
        one.took(source, [gone])
    assert caplog.text.count("made group anew") == 2


@pytest.mark.parametrize("in_retries", [False, True])
def test_a_lost_delivery_whose_cancel_was_asked_for_does_not_start(
    redis_url: str, in_retries: bool
) -> None:
    connection = Connection(lambda: parse_url(redis_url))
    call = Codec().encode_call("f", (), {})
    connection.exchange([upkeep.regroup("a"), enqueue("a", "job-1", call)])
    ((entry,),) = connection.exchange([fetch.read("a", "me", 1, 0.0)])
    if in_retries:
        attempt = Attempt("a", "me", entry[0], b"job-1")
        connection.exchange([settle.retry(attempt, call, delay=0.0, kind="s", history=b"")])
        connection.exchange([fetch.claim("a", "me", 1, "s")])
    assert connection.exchange([manage.cancel("a", "job-1")]) == [manage.IS_RUNNING]

    outbox = Outbox(["a"], "me", Board())
    one = Intake(["a"], "me", outbox, Board())
    stream = keys.retries("a") if in_retries else keys.jobs("a")
    (held,) = connection.exchange([fetch.mine("a", stream, "me")])
    one.adopt("a", "r" if in_retries else "j", held)
    assert not one.waiting
    posting = outbox.take()
    outbox.settled(posting, connection.exchange(posting.ops))
    (seen,) = connection.exchange([inspect.look("a", "job-1")])
    assert seen.state == "cancelled"
    assert not any(outbox.held.values())
    connection.close()


@pytest.fixture
def connection(redis_url: str) -> Iterator[Connection]:
    connection = Connection(lambda: parse_url(redis_url))
    yield connection
    connection.close()


def greet(one: Intake, connection: Connection) -> None:
    one.greeted(connection.exchange(one.greeting()))


def fetch_all(one: Intake, connection: Connection, want: int) -> list[str]:
    """Fetch once as a worker does; return the job ids in the order in which they shall run."""
    for source, most in one.turns(want):
        one.took(source, connection.exchange(source.ops(most, "s?")))
    found = [item[2][0].decode() for item in one.waiting if item[2]]
    one.waiting.clear()
    return found


def put(connection: Connection, **many: int) -> None:
    for priority, count in many.items():
        line = line_of("a", priority)  # type: ignore[arg-type]
        calls = [(f"{priority}-{n}", b"call") for n in range(count)]
        connection.exchange([enqueue_special(line, calls)])


def test_a_queue_of_normal_jobs_pays_nothing_for_the_others(
    redis: Redis, connection: Connection
) -> None:
    """In each fetch the same commands reach Redis as if there were no other lines."""
    one = intake("a")
    put(connection, normal=30)
    greet(one, connection)
    fetch_all(one, connection, 1)  # it learns that no retry waits, and loads the script
    before = commands(redis)
    for _ in range(20):
        assert len(fetch_all(one, connection, 1)) == 1
    spent = commands(redis) - before - Counter(info=1)
    assert spent == Counter(evalsha=20, time=20, zrangebyscore=40, xreadgroup=20)


def test_jobs_are_taken_by_priority_and_never_too_many(connection: Connection) -> None:
    one = intake("a")
    put(connection, low=5, normal=5, high=5)
    greet(one, connection)
    one.sources[0].due_in = None
    assert fetch_all(one, connection, 3) == ["high-0", "high-1", "high-2"]
    assert fetch_all(one, connection, 4) == ["high-3", "high-4", "normal-0", "normal-1"]
    assert fetch_all(one, connection, 9) == ["normal-2", "normal-3", "normal-4"], "no low ones yet"
    put(connection, high=1)
    assert fetch_all(one, connection, 9) == ["high-0"]
    assert fetch_all(one, connection, 9) == [f"low-{n}" for n in range(5)]


def test_a_job_of_another_line_is_found_once_its_use_is_known(connection: Connection) -> None:
    one = intake("a")
    greet(one, connection)
    put(connection, high=1)
    assert fetch_all(one, connection, 9) == []
    greet(one, connection)
    assert fetch_all(one, connection, 9) == ["high-0"]
    assert b"jobq:{a}:jobs:high" in one.wait_op(1.0).words


def test_lost_deliveries_of_all_lines_are_found(connection: Connection) -> None:
    """Also where entries of two lines have the same id."""
    put(connection, low=1, normal=1, high=1)
    lost = intake("a")
    greet(lost, connection)
    lost.sources[0].due_in = None
    assert fetch_all(lost, connection, 2) == ["high-0", "normal-0"]
    outbox = Outbox(["a"], "me", Board())
    one = Intake(["a"], "me", outbox, Board())
    greet(one, connection)
    for line, letter, stream in one.streams():
        (held,) = connection.exchange([fetch.mine(line, stream, "me")])
        one.adopt(line, letter, held)
        one.adopt(line, letter, held)
    assert [item[0] for item in one.waiting] == ["a high", "a"]
    assert outbox.held == {"a high": 1, "a": 1, "a low": 0}


def commands(redis: Redis) -> Counter[str]:
    """Return how often Redis has run each command, those in scripts too."""
    said = redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): row["calls"] for name, row in said.items()})
