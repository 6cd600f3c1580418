"""Jobs that wait too long, that sleep on, and whose retries take too long; on a real server."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from redis import Redis

from jobq import JobExpired, JobHandle, JobQ, JobState, Snooze, current_job
from jobq.client.letters import Letters
from jobq.core.history import History
from jobq.core.ids import make_job_id
from jobq.errors import JobFailed
from jobq.store import keys
from jobq.store.ops import enqueue, inspect, upkeep
from tests.runtime.stage import Stage
from tests.support.wait import wait_until

ran: Counter[str] = Counter()


@pytest.fixture
def app(redis_url: str) -> Iterator[JobQ]:
    ran.clear()
    with JobQ(redis_url) as app:
        yield app


@pytest.fixture
def stage(app: JobQ) -> Stage:
    return Stage(app)


def put_old(app: JobQ, redis: Redis, name: str, age: float, **headers: object) -> JobHandle[object]:
    """Enqueue a call as it would stand there, had it been enqueued so many seconds ago.

    Each must be younger than the one before.
    """
    job_id = make_job_id()
    app.store.run(enqueue.register_queue("default"))
    ms = int(app.store.run(upkeep.time_ms()) - age * 1000)
    call = app.codec.encode_call(name, (), {}, headers or None)
    redis.xadd(keys.jobs("default"), {job_id: call}, id=f"{ms}-0")
    redis.hset(keys.index("default"), job_id, f"j{ms}-0")
    return app.handle(job_id, queue="default")


def note() -> int:
    job = current_job()
    ran[job.id] += 1
    return ran[job.id]


@pytest.mark.parametrize("loop", [False, True])
def test_what_has_expired_never_starts(
    app: JobQ, stage: Stage, redis: Redis, *, loop: bool
) -> None:
    app.job(name="short", expires="1h")(note)
    if loop:  # it runs the sync ones too

        @app.job(name="other")
        async def other() -> None: ...

    kept = put_old(app, redis, "short", 7200)
    dropped = put_old(app, redis, "short", 7000, o=1)
    forgotten = put_old(app, redis, "short", 6000, o=1, k=0.0)
    longer = put_old(app, redis, "short", 5000, e=7200.0)
    in_time = put_old(app, redis, "short", 3000)
    assert kept.status() is JobState.READY
    stage.run(loop=loop)
    assert ran == {longer.id: 1, in_time.id: 1}
    assert (kept.status(), dropped.status()) == (JobState.DEAD, JobState.EXPIRED)
    for handle in (kept, dropped):
        with pytest.raises(JobExpired, match=r"it waited .* h .*, longer than 1 h") as expired:
            handle.result(timeout=0)
        assert (expired.value.job_id, expired.value.attempts) == (handle.id, 0)
    assert app.store.run(inspect.look("default", forgotten.id)) == inspect.Seen(None)
    totals = app.store.run(inspect.count("default")).totals
    assert (totals["expired"], totals["dead"], totals["succeeded"]) == (3, 1, 2)


def test_the_letter_alone_tells_it_too(app: JobQ, stage: Stage, redis: Redis) -> None:
    app.job(name="short", expires="1h", result_ttl=0)(note)
    handle = put_old(app, redis, "short", 7200)
    stage.run()
    assert not redis.exists(keys.result("default", handle.id))
    with pytest.raises(JobExpired, match="longer than 1 h"):
        handle.result(timeout=0)
    (letter,) = Letters(app.store, app.codec).rows()
    assert (letter.reason, letter.attempts, letter.readable) == ("expired", 0, True)


def test_who_waits_for_an_expired_one_has_not_expired(app: JobQ, stage: Stage) -> None:
    """The same error in a job that was started is a failure like others."""

    @app.job(name="asks", retries=0)
    def asks() -> None:
        raise JobExpired("other", "it waited")

    handle = asks.delay()
    stage.run()
    with pytest.raises(JobFailed) as failed:
        handle.result(timeout=0)
    assert not isinstance(failed.value, JobExpired)


def test_one_that_is_retried_by_hand_has_its_time_again(
    app: JobQ, stage: Stage, redis: Redis
) -> None:
    app.job(name="short", expires="1h")(note)
    handle = put_old(app, redis, "short", 7200)
    stage.run()
    assert handle.status() is JobState.DEAD
    assert Letters(app.store, app.codec).retry([handle.id]).done == 1
    stage.run()
    assert handle.result(timeout=0) == 1


@pytest.mark.parametrize(("threads", "loop"), [(1, False), (2, False), (1, True)])
def test_a_snooze_spends_no_attempt(app: JobQ, stage: Stage, threads: int, *, loop: bool) -> None:
    seen: list[int] = []

    def body() -> str:
        seen.append(current_job().attempt)
        number = note()
        if number in {1, 2, 4}:
            raise Snooze("20ms")
        if number == 3:
            raise ValueError("a failure between")
        return "done"

    if loop:

        @app.job(name="sleeps", retries=1, backoff="1ms", expires="1h")
        async def sleeps() -> str:
            return body()

    else:
        app.job(name="sleeps", retries=1, backoff="1ms", expires="1h")(body)
    handle = app.send("sleeps")
    stage.run(threads=threads, loop=loop)
    assert handle.result(timeout=0) == "done"
    assert seen == [1, 1, 1, 2, 2]


def test_while_it_sleeps_it_is_delayed(app: JobQ, stage: Stage, redis: Redis) -> None:
    @app.job(name="sleeps", retries=3, backoff="1ms")
    def sleeps(fails: int) -> None:
        if note() <= fails:
            raise ValueError("at first")
        raise Snooze("1h")

    handles = [sleeps.delay(fails) for fails in (0, 1)]

    def play() -> None:
        wait_until(lambda: [one.status() for one in handles] == ["delayed"] * 2, "they sleep")
        for handle in handles:
            seen = app.store.run(inspect.look("default", handle.id))
            history = History.decode(seen.history or b"")
            assert (history.snoozes, history.first_failed_ms) == (1, None)
            assert handle.cancel()

    stage.run(play)
    assert [one.status() for one in handles] == ["cancelled"] * 2
    assert not redis.hexists(keys.history("default"), handles[0].id)


def test_a_snooze_too_long_is_a_failure(redis_url: str) -> None:
    with JobQ(redis_url, max_delay="1d") as app:

        @app.job(name="sleeps", retries=1, backoff="1ms")
        def sleeps() -> None:
            raise Snooze("2d")

        handle = sleeps.delay()
        Stage(app).run()
        with pytest.raises(JobFailed, match="max_delay") as failed:
            handle.result(timeout=0)
        assert failed.value.attempts == 2


def test_retries_end_with_their_time(app: JobQ, stage: Stage) -> None:
    @app.job(name="fails", retry_for="150ms", backoff="40ms")
    def fails() -> None:
        note()
        raise ValueError("again")

    handle = fails.delay()
    stage.run()
    assert 1 <= ran[handle.id] <= 4, "at most 40, 80 and 120 ms after the first"
    (letter,) = Letters(app.store, app.codec).rows()
    assert (letter.reason, letter.attempts) == ("retry_for is over", ran[handle.id])
    assert letter.failure.message == "again"


def test_a_retry_that_comes_too_late_is_not_started(app: JobQ, redis: Redis) -> None:
    """Nobody worked when it was due."""

    @app.job(name="fails", retry_for="1h", backoff="30m")
    def fails() -> None:
        note()
        raise ValueError("again")

    handle = fails.delay()

    def play() -> None:
        wait_until(lambda: handle.status() == "retrying", "it waits")
        name = keys.history("default")
        blob = redis.hget(name, handle.id)
        assert isinstance(blob, bytes)
        history = History.decode(blob)
        assert (history.retries, len(history.attempts)) == (1000, 1)
        long_ago = replace(history, first_failed_ms=(history.first_failed_ms or 0) - 3_600_000)
        redis.hset(name, handle.id, long_ago.encode())
        (member,) = redis.zrange(keys.due("default"), 0, 0)
        assert isinstance(member, bytes)
        redis.zadd(keys.due("default"), {member: 0})

    Stage(app).run(play)
    letters = Letters(app.store, app.codec)
    (letter,) = letters.rows()
    assert (ran[handle.id], letter.attempts, letter.reason) == (1, 1, "retry_for is over")
    assert letters.retry([handle.id]).done == 1

    def cancel() -> None:
        wait_until(lambda: handle.status() == "retrying", "its time has begun again")
        assert handle.cancel()

    Stage(app).run(cancel)
    assert ran[handle.id] == 2
