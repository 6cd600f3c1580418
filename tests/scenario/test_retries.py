"""Retries: how often, when, and where they wait."""

import time
from itertools import pairwise

import pytest

from jobq.errors import JobFailed
from tests.scenario.ground import PATIENCE, Ground, children
from tests.support.wait import wait_until

APP = """
@app.job(retries=3, backoff=[0.1, 0.3, 0.5])
{kind} flaky(good):
    trace("attempt", current_job().attempt, time.time())
    if current_job().attempt < good:
        raise ValueError("not yet")
    return current_job().attempt

@app.job(retries=2, backoff=30)
{kind} later(after):
    trace("later", current_job().attempt, time.time())
    if current_job().attempt == 1:
        raise Retry(after=after)

@app.job
{kind} hopeless():
    trace("hopeless")
    raise Dead("no such customer")

class Known(Exception): pass
class Special(Known): pass

@app.job(retry_on=(Known,), no_retry_on=(Special,), backoff=0.05)
{kind} picky(which):
    trace("picky", which, current_job().attempt)
    raise dict(known=Known, special=Special, other=KeyError)[which]("x")

@app.job(timeout=0.3, retries=0)
{kind} forever():
    trace("forever")
    {sleep}(30)
"""
KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])


def write(ground: Ground, kind: str) -> None:
    sync = kind == "sync"
    ground.write(
        APP.format(
            kind="def" if sync else "async def",
            sleep="time.sleep" if sync else "await asyncio.sleep",
        )
    )


@KINDS
def test_attempts_and_their_times_are_as_asked(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ground.worker(processes=2)
    assert ground.send("jobs.flaky", 4).result(timeout=10) == 4
    rows = ground.traced("attempt")
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    at = [float(row[1]) for row in rows]
    for pause, (before, after) in zip((0.1, 0.3, 0.5), pairwise(at), strict=True):
        assert pause - 0.01 <= after - before <= pause + 0.3


@KINDS
def test_used_up_attempts_end_in_the_dead_letters(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ground.worker()
    with pytest.raises(JobFailed) as failed:
        ground.send("jobs.flaky", 9).result(timeout=10)
    assert len(ground.traced("attempt")) == 4
    assert "ValueError: not yet" in str(failed.value)
    (letter,) = ground.dead()
    assert (letter["attempts"], letter["reason"]) == (4, "attempts used up")
    assert ground.redis.hgetall("jobq:{default}:history") == {}
    assert ground.pending("retries") == []


@KINDS
def test_dead_and_choices_of_exceptions(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ground.send("jobs.hopeless")
    ground.put("jobs.picky", [("known",), ("special",), ("other",)])
    ground.burst("--processes", "1")
    assert len(ground.traced("hopeless")) == 1
    attempts = [tuple(row) for row in ground.traced("picky")]
    assert sorted(attempts) == sorted(
        [("known", str(n)) for n in (1, 2, 3, 4)] + [("special", "1"), ("other", "1")]
    )
    assert {letter["reason"] for letter in ground.dead()} == {
        "no such customer",
        "attempts used up",
        "not retried: Special is in no_retry_on",
        "not retried: KeyError is not in retry_on",
    }


def test_waiting_retries_stay_pending(ground: Ground) -> None:
    """XPENDING lists what is being retried, and how often it was."""
    write(ground, "sync")
    worker = ground.worker()
    job = ground.send("jobs.later", 60)
    wait_until(lambda: job.status() == "retrying", "it waits for its second attempt")
    ((entry, consumer, _, count),) = ground.pending("retries")
    assert (consumer, count) == (b"parked", 1)
    assert ground.redis.zscore("jobq:{default}:due", b"s" + entry) is not None
    assert ground.pending("jobs") == []
    assert job.cancel()
    assert ground.pending("retries") == []
    worker.terminate()
    assert worker.wait() == 0


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_due_retry_wakes_a_blocked_worker(ground: Ground, kind: str) -> None:
    """Parked by a process that is gone: the one that waits did not know of it."""
    write(ground, kind)
    first = ground.worker()
    ground.send("jobs.later", 2.5)
    ((_, failed),) = ground.wait_traced("later")
    first.terminate()
    assert first.wait() == 0
    ground.worker(processes=2)
    (_, (_, started)) = ground.wait_traced("later", 2)
    assert 2.49 <= float(started) - float(failed) <= 2.8


@KINDS
def test_a_timeout_ends_the_attempt(ground: Ground, kind: str) -> None:
    write(ground, kind)
    worker = ground.worker()
    (pid,) = children(worker.pid)
    began = time.monotonic()
    with pytest.raises(JobFailed, match=r"timeout of 0\.3 s") as failed:
        ground.send("jobs.forever").result(timeout=10)
    assert time.monotonic() - began < 5
    assert "Remote traceback" in str(failed.value)
    assert children(worker.pid) == [pid], "its process goes on"


@pytest.mark.slow
def test_a_dead_letter_brought_back_starts_afresh(ground: Ground) -> None:
    write(ground, "sync")
    ground.worker()
    job = ground.send("jobs.flaky", 9)
    with pytest.raises(JobFailed):
        job.result(timeout=10)
    ground.start("jobq", "dlq", "retry", job.id, "--yes").check()
    wait_until(lambda: len(ground.traced("attempt")) == 8, "it had all its attempts", PATIENCE)
    with pytest.raises(JobFailed):
        job.result(timeout=10)
    (letter,) = ground.dead()
    assert letter["attempts"] == 4
