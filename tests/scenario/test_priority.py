"""Priority inside a queue, and the weights of queues, with real workers."""

import os
import signal
import statistics
import time
from collections import Counter

import pytest

from jobq.core.lines import line_of, lines_of
from jobq.store import keys
from tests.scenario.ground import COMMON, Ground, children, kill, once_each
from tests.support.wait import wait_until

#: What a job leaves when it starts: its number tells its priority, by thousands.
NUMBERED = """\
@app.job
def numbered(n, seconds=0):
    trace("ran", n)
    time.sleep(seconds)
"""

ANUMBERED = """\
@app.job
async def anumbered(n):
    trace("ran", n)
"""

#: How a worker runs jobs: its options, and the job function.
EXECUTORS = {
    "inline": ((), "numbered"),
    "threads": (("--threads", "4"), "numbered"),
    "async": ((), "anumbered"),
}


def put_all(ground: Ground, many: int, seconds: float = 0) -> None:
    """Enqueue so many of each priority, the last ones first."""
    for at, line in reversed([*enumerate(lines_of("default"))]):
        numbers = range(at * many, (at + 1) * many)
        ground.put("jobs.numbered", [(n, seconds) for n in numbers], line)


def started(ground: Ground) -> list[int]:
    return [int(row[0]) for row in ground.traced("ran")]


def late_high(ground: Ground, many: int) -> int:
    """Return how many that should have started before it started after the first low one."""
    order = started(ground)
    first_low = next(at for at, n in enumerate(order) if n >= 2 * many)
    return sum(n < 2 * many for n in order[first_low:])


def test_jobs_start_by_priority(ground: Ground) -> None:
    ground.write(NUMBERED)
    put_all(ground, 60)
    ground.burst("--processes", "1")
    assert ground.ran() == once_each(180)
    # On a busy machine some in hand are given back, and those of the next batch run before them.
    assert late_high(ground, 60) < 30
    assert ground.left() == 0


def test_the_first_high_job_ever_wakes_an_idle_worker(ground: Ground) -> None:
    """Nobody waits for that line yet: the supervisor sees it, and ends the wait."""
    ground.write(COMMON)
    queues = [f"q{n}" for n in range(5)]
    options = [word for queue in queues for word in ("-q", queue)]
    ground.worker(*options)
    ground.app.options(queue="q0").send("jobs.who").result(timeout=10)
    first: list[float] = []
    later: list[float] = []
    for took in (first, later):
        for queue in queues:
            began = time.monotonic()
            (job_id,) = ground.put("jobs.who", [()], line_of(queue, "high"))
            ground.app.handle(job_id, queue).result(timeout=10)
            took.append(time.monotonic() - began)
    assert statistics.median(first) < 0.3, "a wait without an end takes a second"
    assert statistics.median(later) < 0.05, "from then on workers wait for it themselves"


def test_a_high_job_whose_worker_dies_is_found_and_keeps_its_line(ground: Ground) -> None:
    ground.write(
        COMMON,
        """
@app.job
def once(n):
    trace("started", n)
    if len(open(os.environ["TRACE"]).readlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    trace("ran", n)
""",
    )
    ground.worker()
    ground.put("jobs.once", [(1,)], line_of("default", "high"))
    ground.wait_traced("ran")
    ground.wait_empty()
    assert len(ground.traced("started")) == 2


@pytest.mark.slow
def test_a_running_low_job_can_be_cancelled(ground: Ground) -> None:
    ground.write(COMMON)
    ground.worker()
    (job_id,) = ground.put("jobs.slow", [(1, 20)], line_of("default", "low"))
    ground.wait_traced("started")
    ground.app.handle(job_id, "default").cancel()
    ground.wait_empty()
    assert ground.traced("ended") == []


@pytest.mark.slow
def test_priorities_hold_across_workers_of_which_some_die(ground: Ground) -> None:
    """A thousand and more start in order; what was in hand when others came may run before."""
    many = 2000
    ground.write(NUMBERED)
    put_all(ground, many, 0.001)
    first = ground.worker(processes=2)
    ground.worker(processes=2)
    ground.wait_traced("ran", many // 2)
    os.kill(first.pid, signal.SIGKILL)
    ground.wait_empty(timeout=120)
    assert ground.ran() == once_each(3 * many)
    # Four workers with two batches of ten jobs in hand, and what one of them gave back.
    assert late_high(ground, many) < 150


@pytest.mark.slow
def test_high_jobs_overtake_low_ones_that_wait(ground: Ground) -> None:
    ground.write(NUMBERED)
    ground.put("jobs.numbered", [(n, 0.001) for n in range(3000)], line_of("default", "low"))
    ground.worker(processes=2)
    ground.wait_traced("ran", 200)
    ground.put("jobs.numbered", [(n, 0.001) for n in range(3000, 3300)], line_of("default", "high"))
    ground.wait_empty(timeout=60)
    order = started(ground)
    last_high = max(at for at, n in enumerate(order) if n >= 3000)
    first_high = min(at for at, n in enumerate(order) if n >= 3000)
    assert last_high - first_high < 300 + 150
    assert last_high < 2500, "long before the low ones ended"
    assert ground.ran() == once_each(3300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXECUTORS)
def test_queues_give_in_proportion_to_their_weights(ground: Ground, kind: str) -> None:
    options, job = EXECUTORS[kind]
    ground.write(NUMBERED, ANUMBERED if kind == "async" else "")
    ground.put(f"jobs.{job}", [(n,) for n in range(10_000)], queue="first")
    ground.put(f"jobs.{job}", [(n,) for n in range(10_000, 12_000)], queue="second")
    worker = ground.start(
        "jobq", "worker", "--processes", "1", "-q", "first=5", "-q", "second=1", *options
    )
    worker.wait_for_line(r"queues +first=5, second=1")
    wait_until(
        lambda: "first=5, second=1" in ground.start("jobq", "workers").check(), "the list has them"
    )
    for queue in ("first", "second"):
        ground.wait_empty(queue, timeout=60)
    assert ground.ran() == once_each(12_000)
    both = started(ground)[:9000]  # neither is empty until then
    of_second = sum(n >= 10_000 for n in both)
    assert abs(of_second - 1500) < 0.15 * 1500, Counter(n // 10_000 for n in both)


@pytest.mark.slow
def test_a_queue_with_a_small_weight_does_not_starve(ground: Ground) -> None:
    ground.write(NUMBERED)
    ground.put("jobs.numbered", [(n,) for n in range(6000)], queue="busy")
    ground.put("jobs.numbered", [(n,) for n in range(6000, 6010)], queue="rare")
    # Two that share: each by itself keeps the proportion.
    for _ in range(2):
        ground.start("jobq", "worker", "--processes", "1", "-q", "busy=100", "-q", "rare")
    for queue in ("busy", "rare"):
        ground.wait_empty(queue, timeout=60)
    order = started(ground)
    assert max(order.index(n) for n in range(6000, 6010)) < 3000
    assert ground.ran() == once_each(6010)


@pytest.mark.slow
def test_a_high_job_of_an_orphan_is_started_once(ground: Ground) -> None:
    """It keeps the leases of all lines, so that nobody else starts what it runs."""
    ground.write(COMMON)
    worker = ground.worker("--lease", "1s")
    ground.put("jobs.slow", [(1, 3.0)], line_of("default", "high"))
    ground.wait_traced("started")
    os.kill(worker.pid, signal.SIGKILL)
    ground.worker("--lease", "1s")
    ground.wait_traced("ended")
    wait_until(lambda: ground.left() == 0, "it is settled")
    assert [row[0] for row in ground.traced("started")] == ["1"]


@pytest.mark.slow
def test_a_strangers_key_in_the_place_of_a_line_keeps_nobody_from_work(ground: Ground) -> None:
    """Nor from the recovery of what a dead worker held."""
    ground.write(COMMON)
    key = keys.jobs(line_of("default", "high"))
    ground.redis.set(key, "what is this?")
    worker = ground.worker()
    ground.put("jobs.short", [(n,) for n in range(20)])
    ground.wait_traced("ran", 20)
    ground.put("jobs.slow", [(1, 2.0)])
    ground.wait_traced("started")
    kill(children(worker.pid)[0])
    ground.wait_traced("started", 2)
    ground.wait_traced("ended")
    ground.redis.delete(key)
    ground.wait_empty()
