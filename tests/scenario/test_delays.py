"""Delayed jobs and retries start when they are due: never early, and soon, though all wait."""

from collections.abc import Iterator
from itertools import count

import pytest

from jobq.store.ops import upkeep
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import Ground, children, kill, once_each
from tests.support.wait import wait_until

#: Seconds after its time in which the first job must start.
SOON = 0.1

JOBS = """
@app.job
def at(n):
    trace("at", n, time.time())

@app.job(retries=2)
def again(n):
    if current_job().attempt == 1:
        trace("failed", n, time.time())
        raise Retry(after=0.25)
    trace("at", n, time.time())
"""

ASYNC_JOBS = """
@app.job
async def at(n):
    trace("at", n, time.time())

@app.job(retries=2)
async def again(n):
    if current_job().attempt == 1:
        trace("failed", n, time.time())
        raise Retry(after=0.25)
    trace("at", n, time.time())
"""


def now_ms(ground: Ground) -> int:
    """Return Redis time."""
    return ground.app.store.run(upkeep.time_ms())


def starts(ground: Ground) -> dict[int, float]:
    """Return when each job started, in seconds since 1970."""
    return {int(number): float(at) for number, at in ground.traced("at")}


def lateness(ground: Ground, due_ms: int, numbers: Iterator[int], many: int = 1) -> float:
    """Enqueue jobs for a moment; return how late the first one was, in seconds."""
    every = [next(numbers) for _ in range(many)]
    ground.put("jobs.at", [(number,) for number in every], due=(0, due_ms))
    ground.wait_traced("at", every[-1] + 1)
    started = starts(ground)
    found = [started[number] - due_ms / 1000 for number in every]
    assert min(found) >= 0, "it is never early"
    return min(found)


@pytest.mark.parametrize(
    "jobs", [JOBS, pytest.param(ASYNC_JOBS, marks=pytest.mark.slow)], ids=["sync", "async"]
)
def test_the_first_starts_soon_though_every_worker_waits(ground: Ground, jobs: str) -> None:
    ground.write(jobs)
    ground.worker()
    numbers = count()
    ground.put("jobs.at", [(next(numbers),)])
    ground.wait_traced("at")
    late = [lateness(ground, now_ms(ground) + 130, numbers) for _ in range(3)]
    assert min(late) < SOON, "the machine may be busy, but not always"
    # A retry does not come into a stream: the wait of a worker must be ended for it.
    again = [next(numbers) for _ in range(3)]
    late = []
    for number in again:
        ground.put("jobs.again", [(number,)])
        wait_until(lambda: number in starts(ground), "it was tried again", 30.0)  # noqa: B023
        failed = {int(one): float(at) for one, at in ground.traced("failed")}
        late.append(starts(ground)[number] - failed[number] - 0.25)
    assert 0 <= min(late) < SOON, "the machine may be busy, but not always"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [JOBS, ASYNC_JOBS], ids=["sync", "async"])
def test_five_thousand_of_one_moment(ground: Ground, jobs: str) -> None:
    ground.write(jobs)
    ground.worker()
    numbers = count()
    late = [lateness(ground, now_ms(ground) + 2000, numbers, 5000) for _ in range(3)]
    assert min(late) < SOON, "the machine may be busy, but not always"
    assert len(ground.traced("at")) == 15_000, "each once"


@pytest.mark.slow
@pytest.mark.parametrize("ends", ["supervisor", "worker"])
def test_each_once_though_supervisors_die_while_they_promote(ground: Ground, ends: str) -> None:
    ground.write(JOBS, "@app.job\ndef short(n): trace('ran', n)")
    workers = [ground.worker("--concurrency", "1") for _ in range(3)]
    due = now_ms(ground) + 2500
    for line in ("default", "default high", "default low"):
        start = ("default high", "default", "default low").index(line) * 2000
        every = [(number,) for number in range(start, start + 2000)]
        ground.put("jobs.short", every, line, due=(0, due))
    ground.wait_traced("ran")
    victim = workers[0]
    pids = children(victim.pid)
    kill(victim.pid if ends == "supervisor" else pids[0])
    wait_until(lambda: len(ground.ran()) == 6000, "all have run", 60.0)
    ground.wait_empty()
    twice = {number: many for number, many in ground.ran().items() if many > 1}
    if ends == "supervisor":
        assert ground.ran() == once_each(6000)
    else:  # what it had finished and not settled yet runs again: the last 10 ms
        assert max(twice.values(), default=2) == 2
        assert len(twice) < 1500


@pytest.mark.slow
def test_they_outlive_a_kill_of_redis(make_ground: MakeGround, start_server: StartServer) -> None:
    server = start_server(appendonly=True)
    ground = make_ground(server)
    ground.write(JOBS)
    ground.worker()
    ground.put("jobs.at", [(0,)])
    ground.wait_traced("at")
    due = now_ms(ground) + 1500
    ground.put("jobs.at", [(number,) for number in range(1, 101)], due=(0, due))
    server.kill()
    server.start()
    ground.wait_traced("at", 101)
    assert min(at for number, at in starts(ground).items() if number) >= due / 1000
    assert len(starts(ground)) == len(ground.traced("at")) == 101


@pytest.mark.slow
def test_a_burst_does_not_wait_for_them(ground: Ground) -> None:
    ground.write(JOBS)
    ground.put("jobs.at", [(1,)], due=(3_600_000, 0))
    ground.put("jobs.at", [(0,)])
    ground.burst()
    assert list(starts(ground)) == [0]
