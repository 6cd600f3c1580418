"""Workers and supervisors that are killed: nothing is lost, and little is repeated."""

import os
import re
import signal

import pytest

from jobq.core.history import History
from tests.scenario.ground import COMMON, Ground, alive, children, kill, once_each
from tests.support.process import Child
from tests.support.wait import wait_until

MANY = 5000
#: The most that one process holds: a batch that runs, and one that is on its way.
HELD = 512


def started_by(child: Child) -> list[int]:
    return children(child.pid)


def test_a_killed_worker_loses_no_short_job(ground: Ground) -> None:
    ground.write(COMMON)
    ground.put("jobs.short", [(n,) for n in range(MANY)])
    supervisor = ground.worker(processes=2)
    ground.wait_traced("ran", MANY // 10)

    victim, other = started_by(supervisor)
    kill(victim)
    left = ground.left()
    ground.wait_empty()

    assert left > MANY // 10, "it was killed too late to prove anything"
    ran = ground.ran()
    assert set(ran) == set(range(MANY))
    assert max(ran.values()) <= 2
    assert ran.total() - MANY <= HELD
    assert ground.dead() == []
    supervisor.wait_for_line(r"worker died pid=\d+ end=killed by SIGKILL")
    wait_until(lambda: len(started_by(supervisor)) == 2, "there is a new worker")
    assert other in started_by(supervisor)
    assert ground.succeeded() == MANY


def test_the_job_that_ran_is_charged_and_the_others_are_not(ground: Ground) -> None:
    """It runs again elsewhere within a second; those behind it as if nothing had been."""
    ground.write(
        COMMON,
        """
@app.job
def attempt(n):
    trace("attempt", n, current_job().attempt)
""",
    )
    supervisor = ground.worker(processes=2)
    slow = ground.send("jobs.slow", 1, 1.0)
    ((_, pid, _),) = ground.wait_traced("started")
    ground.put("jobs.attempt", [(n,) for n in range(100)])
    kill(int(pid))

    again = ground.wait_traced("started", 2, timeout=10)
    history = ground.redis.hget("jobq:{default}:history", slow.id)
    assert slow.result(timeout=20) == 1
    ground.wait_empty()

    assert isinstance(history, bytes)
    (crash,) = History.decode(history).attempts
    assert (crash.kind, crash.error) == ("crashed", "WorkerDied")
    assert again[1][1] != pid
    supervisor.wait_for_line(r"recovered jobs .* charged=1 released=\d+")
    assert {rest[1] for rest in ground.traced("attempt")} == {"1"}
    assert ground.ran("attempt") == once_each(100)


def test_a_killed_workers_job_starts_again_within_a_second(ground: Ground) -> None:
    ground.write(COMMON)
    ground.worker(processes=2)
    ground.send("jobs.slow", 1, 1.0)
    ((_, pid, _),) = ground.wait_traced("started")
    kill(int(pid))
    killed = float(ground.server.cli("TIME")[0]) + float(ground.server.cli("TIME")[1]) / 1e6
    _, (_, _, at) = ground.wait_traced("started", 2)
    # A second as promised, and another one because a busy machine starts Python slowly.
    assert float(at) - killed < 2.0


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(ground: Ground) -> None:
    """They finish what runs; another supervisor takes over what was left, and nothing is lost."""
    ground.write(COMMON)
    ground.put("jobs.slow", [(n, 1.0) for n in range(2)])
    ground.put("jobs.short", [(n,) for n in range(MANY)])
    first = ground.worker("--lease", "2", processes=2)
    ground.wait_traced("started", 2)
    pids = started_by(first)
    first.kill()
    wait_until(lambda: not any(map(alive, pids)), "the workers have ended", 8)
    assert ground.ran("ended") == once_each(2), "they finish what runs"

    ground.burst("--lease", "1", "--processes", "2")
    ran = ground.ran()
    assert set(ran) == set(range(MANY))
    assert ran.total() == MANY, "they gave back what they had not started"
    assert ground.ran("started") == once_each(2)
    assert ground.dead() == []


def test_a_worker_that_still_imports_ends_with_its_supervisor(ground: Ground) -> None:
    ground.write('trace("importing", os.getpid())\ntime.sleep(1)\n', COMMON)
    first = ground.start("jobq", "worker", "--processes", "1")
    (pid,) = started_by(first) or [int(ground.wait_traced("importing")[0][0])]
    first.kill()
    wait_until(lambda: not alive(pid), "the worker has ended", 8)


@pytest.mark.slow
def test_everything_killed_at_once(ground: Ground) -> None:
    """SIGKILL to the whole group: only the leases tell."""
    ground.write(COMMON)
    ground.put("jobs.short", [(n,) for n in range(MANY)])
    first = ground.worker("--lease", "1", processes=2)
    ground.wait_traced("ran", MANY // 10)
    first.kill_group()
    left = ground.left()

    ground.burst("--lease", "1", "--processes", "2")
    assert left > MANY // 10, "it was killed too late to prove anything"
    ran = ground.ran()
    assert set(ran) == set(range(MANY))
    assert ran.total() - MANY <= 2 * HELD
    assert ground.dead() == []


@pytest.mark.slow
def test_everything_killed_at_once_uses_up_no_attempt(ground: Ground) -> None:
    """Nobody knows which jobs had been started: those that may run once only run all the same."""
    ground.write("@app.job(retries=0)\ndef once(n):\n    trace('ran', n)\n")
    ground.put("jobs.once", [(n,) for n in range(MANY)])
    first = ground.worker("--lease", "1", processes=2)
    ground.wait_traced("ran", MANY // 10)
    first.kill_group()

    ground.burst("--lease", "1", "--processes", "2")
    assert set(ground.ran()) == set(range(MANY))
    assert ground.dead() == []


def pids_of(supervisor: Child) -> list[int]:
    return [supervisor.pid, *started_by(supervisor)]


@pytest.mark.parametrize(
    ("kind", "frozen_in"),
    [
        ("sync", 1),
        pytest.param("async", 1, marks=pytest.mark.slow),
        pytest.param("sync", 2, marks=pytest.mark.slow),
        pytest.param("async", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_a_frozen_host_is_refused_when_it_thaws(ground: Ground, kind: str, frozen_in: int) -> None:
    """Its job has been taken over; its late word changes nothing (G6)."""
    ground.write(
        """
def say(word):
    trace(word, os.getpid(), current_job().attempt)
    return os.getpid()

def begin():
    if current_job().attempt < FROZEN_IN:
        raise ValueError("again")
    say("started")

@app.job(retries=3, backoff=0.05)
def sync(): begin(); time.sleep(2); return say("ended")

@app.job(retries=3, backoff=0.05)
async def asynchronous(): begin(); await asyncio.sleep(2); return say("ended")
""".replace("FROZEN_IN", str(frozen_in))
    )
    name = "jobs.sync" if kind == "sync" else "jobs.asynchronous"
    first = ground.worker("--lease", "1", "--name", "frozen")
    job = ground.send(name)
    ((frozen, _),) = ground.wait_traced("started")
    for pid in pids_of(first):
        os.kill(pid, signal.SIGSTOP)

    second = ground.worker("--lease", "1", "--name", "healthy")
    (healthy, attempt) = ground.wait_traced("started", 2)[1]
    assert healthy != frozen
    assert attempt == str(frozen_in), "a silent host uses up no attempt"
    for pid in reversed(pids_of(first)):
        os.kill(pid, signal.SIGCONT)

    first.wait_for_line(r"lost lease jobs=1", 20)
    assert job.result(timeout=20) == int(healthy)
    ground.wait_traced("ended", 2)
    assert ground.redis.hgetall("jobq:{default}:meta")[b"succeeded"] == b"1"
    assert ground.dead() == []
    assert ground.left() == 0
    for child in (first, second):
        child.terminate()
        assert child.wait() == 0


@pytest.mark.slow
def test_a_frozen_host_goes_on_with_new_jobs(ground: Ground) -> None:
    ground.write(COMMON)
    first = ground.worker("--lease", "1")
    assert ground.send("jobs.who").result(timeout=10) == started_by(first)[0]
    for pid in pids_of(first):
        os.kill(pid, signal.SIGSTOP)
    ground.put("jobs.short", [(n,) for n in range(100)])
    second = ground.worker("--lease", "1")
    ground.wait_empty()
    second.terminate()
    assert second.wait() == 0
    for pid in reversed(pids_of(first)):
        os.kill(pid, signal.SIGCONT)
    assert ground.send("jobs.who").result(timeout=10) == started_by(first)[0]
    assert set(ground.ran()) == set(range(100))
    assert not re.search("Traceback", first.text + second.text)
