"""Looking at and managing what is in Redis."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from datetime import UTC

import pytest
from redis import Redis

from jobq.client.desk import Desk
from jobq.client.letters import Letters
from jobq.client.rows import moment
from jobq.core.job import JobState
from jobq.errors import StoreError
from jobq.store.address import parse_url
from jobq.store.ops import control, settle, upkeep
from jobq.store.ops.control import Command
from jobq.store.sync import Store
from tests.cli.burying import Undertaker
from tests.support.server import Server
from tests.support.wait import wait_until


@pytest.fixture
def undertaker(redis_url: str) -> Iterator[Undertaker]:
    one = Undertaker(redis_url)
    yield one
    one.close()


@pytest.fixture
def desk(undertaker: Undertaker) -> Desk:
    return Desk(undertaker.store, undertaker.codec)


def cancelled(desk: Desk, job_id: str, queue: str | None = None) -> JobState | None:
    """Cancel a job, and return the state that it is in then."""
    row = desk.cancel(job_id, queue)
    return None if row is None else row.state


def test_an_empty_redis(desk: Desk) -> None:
    assert desk.queues() == []
    assert desk.workers() == []
    assert desk.job("x") is None
    assert desk.job("x", "mail") is None
    assert desk.cancel("x") is None


def test_times_are_those_of_redis(desk: Desk, undertaker: Undertaker, redis: Redis) -> None:
    seconds, _ = redis.time()
    undertaker.enqueue()
    job = next(iter(desk.queues()))
    assert job.oldest is not None
    assert 0 <= job.oldest < 60
    assert desk.now().tzinfo is UTC
    assert abs(desk.now().timestamp() - seconds) < 60


def test_rows_are_frozen(desk: Desk, undertaker: Undertaker) -> None:
    undertaker.dead()
    [queue] = desk.queues()
    letter = Letters(undertaker.store, undertaker.codec).letter(undertaker.dead())
    assert letter is not None
    for row, field in ((letter, "id"), (letter.call, "name"), (queue, "dead")):
        with pytest.raises(FrozenInstanceError):
            setattr(row, field, "other")


def test_a_job_is_found_where_it_lives(desk: Desk, undertaker: Undertaker) -> None:
    undertaker.enqueue(queue="a", job_id="same")
    undertaker.succeed(1, queue="a")
    undertaker.enqueue(queue="b", job_id="same")
    job = desk.job("same")
    assert job is not None
    assert (job.queue, job.state) == ("b", JobState.READY)
    assert cancelled(desk, "same") is JobState.CANCELLED
    job = desk.job("same", "a")
    assert job is not None
    assert job.state is JobState.SUCCEEDED
    assert job.result is not None
    assert job.result.value == 1
    assert cancelled(desk, "same", "a") is JobState.SUCCEEDED


def test_cancel_says_where_the_job_is(desk: Desk, undertaker: Undertaker) -> None:
    dies = undertaker.dead()
    runs = undertaker.enqueue()
    undertaker.start()
    waits = undertaker.enqueue()
    assert cancelled(desk, dies) is JobState.DEAD
    assert cancelled(desk, runs) is JobState.RUNNING
    assert cancelled(desk, waits) is JobState.CANCELLED
    assert cancelled(desk, waits) is JobState.CANCELLED
    assert cancelled(desk, "nope", "mail") is None


def test_cancel_waits_until_a_running_job_has_ended(desk: Desk, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    attempt, _ = undertaker.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(desk.cancel, job_id, patience=30.0)
        (_, command), *_ = wait_until(
            lambda: undertaker.store.run(control.read("0-0")), "a worker was told"
        )
        assert command == Command(control.CANCEL, job_id, "mail", "j" + attempt.entry.decode())
        assert undertaker.store.run(settle.cancelled(attempt))
        row = asked.result(timeout=20)
    assert row is not None
    assert row.state is JobState.CANCELLED


def test_cancel_does_not_wait_for_ever(desk: Desk, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    undertaker.start()
    row = desk.cancel(job_id, patience=0.05)
    assert row is not None
    assert (row.state, row.worker) == (JobState.RUNNING, "w1")


def test_tell_sees_what_becomes_of_workers(desk: Desk, undertaker: Undertaker) -> None:
    for name in ("a", "b", "c"):
        undertaker.say(name, "running")
    assert desk.tell(["a"], control.DRAIN, ["draining"], 0.05) == {"a": "running"}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(desk.tell, ["b", "c"], control.STOP, ["stopping"], 30.0)
        wait_until(lambda: len(undertaker.store.run(control.read("0-0"))) == 3, "all were told")
        undertaker.say("b", "stopping")
        undertaker.store.run(upkeep.leave("c"))
        assert asked.result(timeout=20) == {"b": "stopping", "c": None}
    told = [command for _, command in undertaker.store.run(control.read("0-0"))]
    assert told == [Command("drain", "a"), Command("stop", "b"), Command("stop", "c")]


def test_a_job_with_a_garbage_result(desk: Desk, redis: Redis, undertaker: Undertaker) -> None:
    undertaker.enqueue(job_id="odd")
    undertaker.succeed(1)
    good = redis.get("jobq:{mail}:result:odd")
    assert isinstance(good, bytes)
    redis.set("jobq:{mail}:result:odd", good[:-1] + b"\xc1", px=60_000)
    job = desk.job("odd", "mail")
    assert job is not None
    assert job.result is not None
    assert job.result.problem.startswith("the result cannot be read")
    redis.set("jobq:{mail}:result:odd", b"\xc1", px=60_000)
    assert desk.job("odd", "mail") is None


def test_an_entry_that_is_gone(desk: Desk, redis: Redis, undertaker: Undertaker) -> None:
    job_id = undertaker.enqueue()
    redis.delete("jobq:{mail}:jobs")
    job = desk.job(job_id)
    assert job is not None
    assert job.call is None


def test_moments_that_no_datetime_can_have() -> None:
    assert moment(-1) == moment(0)
    assert moment(1 << 64).year == 9999


def test_wrong_types_are_errors(desk: Desk, server: Server, undertaker: Undertaker) -> None:
    undertaker.enqueue()
    server.cli("SET", "jobq:{mail}:dead", "x")
    letters = Letters(undertaker.store, undertaker.codec)
    for ask in (desk.queues, letters.select, lambda: list(letters.rows())):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            ask()
    server.cli("DEL", "jobq:{mail}:dead")


def test_workers_by_name(desk: Desk, redis_url: str) -> None:
    store = Store(lambda: parse_url(redis_url))
    for name in ("b", "a"):
        store.run(upkeep.beat(name, b"\x81\xa3pid\x05", 60.0))
    store.close()
    rows = desk.workers()
    assert [(one.name, one.pid, one.host, one.started_at) for one in rows] == [
        ("a", 5, "", None),
        ("b", 5, "", None),
    ]
    assert abs((rows[0].seen_at - desk.now()).total_seconds()) < 60
