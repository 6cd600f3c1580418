"""Expiry, snooze and the end of retries beside several supervisors, some of them killed."""

import time

import pytest

from jobq.core.job import JobState
from jobq.store.ops.inspect import count
from jobq.store.ops.upkeep import time_ms
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import PATIENCE, Ground
from tests.support.clock import Clock
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

JOBS = """
from jobq import Snooze

def begin(*more):
    job = current_job()
    waited = time.time() - job.enqueued_at.timestamp()
    trace("start", job.id, job.attempt, f"{waited:.3f}", *more)
    return job

@app.job(expires="2s", retries=0, result_ttl="1h")
def limited(n):
    begin()
    time.sleep(0.1)

@app.job(expires="2s", retries=0, result_ttl="1h")
async def alimited(n):
    begin()
    await asyncio.sleep(0.1)

@app.job(expires="1h")
def hour():
    begin()

@app.job(retries=0, result_ttl="1h")
def naps(folder):
    job = begin()
    flag = os.path.join(folder, "napped")
    if not os.path.exists(flag):
        open(flag, "w").close()
        raise Snooze("3s")
    return job.attempt

@app.job(retry_for="2s", backoff="1s")
def fails():
    begin()
    raise ValueError("always")
"""


@pytest.mark.parametrize("name", ["limited", "alimited"])
def test_what_has_expired_never_starts_whoever_is_killed(ground: Ground, name: str) -> None:
    ground.write(JOBS)
    lost, _ = [
        ground.worker("--lease", "2", "--name", who, "--concurrency", "2", processes=2)
        for who in ("one", "two")
    ]
    handles = [ground.send(f"jobs.{name}", n) for n in range(200)]
    ground.wait_traced("start", 20)
    lost.kill_group()
    ground.worker("--lease", "2", "--name", "three", "--concurrency", "2", processes=2)
    states = (JobState.SUCCEEDED, JobState.DEAD)
    wait_until(lambda: all(one.status() in states for one in handles), "all have ended", PATIENCE)
    first: dict[str, float] = {}
    for job_id, _, waited in ground.traced("start"):
        first.setdefault(job_id, float(waited))
    # Between the look at the clock and the start lies what a busy machine makes of it. What the
    # killed worker held may have been started there: nobody knows, so it is.
    late = [waited for waited in first.values() if waited > 2 + 0.5]
    assert len(late) <= 4, "two processes with two jobs each"
    expired = {one["id"] for one in ground.dead() if one["reason"] == "expired"}
    assert not expired & set(first)
    counted = ground.app.store.run(count("default"))
    assert counted.totals["expired"] == len(expired) > 0
    assert counted.totals["expired"] + len(first) == len(handles), "each was started or expired"


def test_a_snoozed_job_outlives_its_worker(ground: Ground) -> None:
    ground.write(JOBS)
    lost = ground.worker("--lease", "2", "--name", "one")
    handle = ground.send("jobs.naps", str(ground.folder))
    wait_until(lambda: handle.status() is JobState.DELAYED, "it sleeps", PATIENCE)
    lost.kill_group()
    ground.worker("--lease", "2", "--name", "two")
    ground.worker("--lease", "2", "--name", "three")
    assert handle.result(timeout=PATIENCE) == 1, "the same attempt, though it has no retries"
    starts = ground.traced("start")
    assert [rest[1] for rest in starts] == ["1", "1"]
    assert float(starts[1][2]) - float(starts[0][2]) > 3 - 0.1, "not before its time"


def test_no_retry_starts_when_its_time_is_over_after_a_restart(ground: Ground) -> None:
    ground.write(JOBS)
    lost = ground.worker("--lease", "2", "--name", "one")
    handle = ground.send("jobs.fails")
    wait_until(lambda: handle.status() is JobState.RETRYING, "it has failed", PATIENCE)
    lost.kill_group()
    over = ground.app.store.run(time_ms()) + 2100
    wait_until(lambda: ground.app.store.run(time_ms()) > over, "its time is over", PATIENCE)
    ground.worker("--lease", "2", "--name", "two")
    ground.wait_empty(dead=1)
    (letter,) = ground.dead()
    assert (letter["reason"], letter["attempts"]) == ("retry_for is over", 1)
    assert len(ground.traced("start")) == 1


def test_the_clock_of_redis_decides(start_server: StartServer, make_ground: MakeGround) -> None:
    """That of the worker's host is two hours behind."""
    server = start_server()
    try:
        clock = Clock(server)
    except LookupError as missing:
        pytest.skip(str(missing))
    ground = make_ground(server)
    ground.write(JOBS)
    old = ground.send("jobs.hour")
    clock.move(7200)
    clock.wait(7200)
    new = ground.send("jobs.hour")
    ground.worker()
    wait_until(lambda: new.status() is JobState.SUCCEEDED, "the new one has run", PATIENCE)
    assert old.status() is JobState.DEAD
    before = time.time()
    clock.move(-7200)
    clock.wait(-7200)
    late = ground.send("jobs.hour")
    wait_until(lambda: late.status() is JobState.SUCCEEDED, "neither does a step back", PATIENCE)
    assert time.time() - before < PATIENCE
    assert [rest[0] for rest in ground.traced("start")] == [new.id, late.id]
