"""Both kinds in one process, slow jobs among fast ones, and the order of queues."""

import os
import signal
import time

import pytest

from tests.scenario.ground import ASYNC, COMMON, PROC, Ground, children, cpu_seconds, once_each
from tests.support.wait import wait_until

#: The fast suite has three minutes.
pytestmark = pytest.mark.slow

THREADS = pytest.mark.parametrize("threads", [1, pytest.param(4, marks=pytest.mark.slow)])


@THREADS
@pytest.mark.slow
def test_a_slow_sync_job_does_not_hold_up_async_ones(ground: Ground, threads: int) -> None:
    ground.write(COMMON, ASYNC)
    for number in range(threads):
        ground.send("jobs.slow", number, 2)
    ground.put("jobs.ashort", [(n,) for n in range(50)])
    ground.send("jobs.slow", threads, 2)
    ground.put("jobs.ashort", [(n,) for n in range(50, 100)])
    ground.worker("--threads", str(threads))
    ground.wait_traced("ran", 100, timeout=10)
    assert ground.traced("ended") == [], "all async jobs ran before the slow ones ended"
    ground.wait_traced("ended", threads + 1)
    assert ground.ran() == once_each(100)
    assert ground.ran("started") == once_each(threads + 1)


@THREADS
@pytest.mark.slow
def test_async_sleeps_do_not_hold_up_sync_jobs(ground: Ground, threads: int) -> None:
    ground.write(COMMON, ASYNC)
    # As many as run at once, and two that are in the way of the last sync jobs.
    ground.put("jobs.aslow", [(n, 2) for n in range(50)])
    ground.put("jobs.short", [(n,) for n in range(50)])
    ground.put("jobs.aslow", [(n, 2) for n in range(50, 102)])
    ground.put("jobs.short", [(n,) for n in range(50, 100)])
    ground.worker("--threads", str(threads))
    ground.wait_traced("ran", 100, timeout=10)
    assert ground.traced("ended") == [], "all sync jobs ran before the async ones ended"
    ground.wait_traced("ended", 102)
    assert ground.ran("started") == once_each(102)
    assert ground.ran() == once_each(100)


@pytest.mark.slow
@pytest.mark.skipif(not PROC, reason="/proc tells the CPU time")
def test_a_process_full_of_one_kind_does_not_spin(ground: Ground) -> None:
    """A sync job that is due waits for the thread; the loop beside it sleeps meanwhile."""
    ground.write(COMMON, ASYNC)
    worker = ground.worker()
    (pid,) = children(worker.pid)
    ground.put("jobs.slow", [(n, 3) for n in range(3)])
    ground.wait_traced("started")
    before = cpu_seconds(pid)
    ground.wait_traced("ended")
    used = cpu_seconds(pid) - before
    assert used < 0.6, f"{used:.2f} s of CPU in three seconds"
    worker.kill_group()


@pytest.mark.parametrize("kind", ["sync", "threads", "async"])
def test_a_slow_job_holds_no_fast_one_hostage(ground: Ground, kind: str) -> None:
    """What is fetched behind it goes to others; what ended before it can be seen."""
    ground.write(COMMON, ASYNC if kind == "async" else "")
    prefix = "a" if kind == "async" else ""
    options = {"sync": (), "threads": ("--threads", "2"), "async": ("--concurrency", "2")}[kind]
    # Learn that jobs are short, so that the batch in the middle is a large one.
    ground.put(f"jobs.{prefix}short", [(n,) for n in range(3000)])
    ids = ground.put(f"jobs.{prefix}short", [(n,) for n in range(3000, 3100)])
    ground.send(f"jobs.{prefix}slow", 1, 3)
    ground.put(f"jobs.{prefix}short", [(n,) for n in range(3100, 3200)])
    ground.worker(*options, processes=2)
    ground.wait_traced("started")
    began = time.monotonic()
    ground.wait_traced("ran", 3200, timeout=5)
    wait_until(
        lambda: ground.app.handle(ids[-1], "default").status() == "succeeded",
        "what ended before the slow job is settled",
        2,
    )
    wait_until(lambda: ground.left() == 1, "only the slow job is left", 2)
    assert ground.traced("ended") == []
    assert time.monotonic() - began < 2.5
    assert ground.ran() == once_each(3200)


def test_one_process_shows_what_ended_before_a_slow_job(ground: Ground) -> None:
    ground.write(COMMON)
    ground.worker()
    (first,) = ground.put("jobs.short", [(0,)])
    ground.send("jobs.slow", 1, 3)
    assert ground.app.handle(first, "default").result(timeout=2) is None
    ground.wait_traced("started")
    ground.put("jobs.short", [(1,)])
    assert ground.traced("ended") == []


def test_queues_are_read_in_the_order_given(ground: Ground) -> None:
    ground.write(COMMON)
    ground.put("jobs.short", [(n,) for n in range(100, 200)], queue="low")
    ground.put("jobs.short", [(n,) for n in range(100)], queue="high")
    worker = ground.start("jobq", "worker", "--processes", "1", "-q", "high", "-q", "low")
    worker.wait_for_line(r"queues +high, low")
    ground.wait_traced("ran", 200)
    order = [int(row[0]) for row in ground.traced("ran")]
    assert set(order[:100]) == set(range(100))


def test_a_queue_in_front_is_served_before_what_waits_behind(ground: Ground) -> None:
    """A hundred slow jobs of the second queue do not keep the first one waiting."""
    ground.write(COMMON)
    ground.put("jobs.slow", [(n, 0.1) for n in range(100)], queue="low")
    ground.start("jobq", "worker", "--processes", "1", "-q", "high", "-q", "low")
    ground.wait_traced("ended", 3)
    ground.put("jobs.short", [(0,)], queue="high")
    ground.wait_traced("ran")
    assert len(ground.traced("started")) < 20


def test_the_queues_of_the_app_are_read_by_default(ground: Ground) -> None:
    ground.write(
        """
@app.job(queue="mail")
def mail(): return "mail"

@app.job(queue="bulk")
async def bulk(): return "bulk"
"""
    )
    worker = ground.start("jobq", "worker", "--processes", "1")
    said = worker.wait_for_line(r"queues +(.*)$")[1]
    assert sorted(said.split(", ")) == ["bulk", "mail"]
    for name in ("mail", "bulk"):
        job = ground.app.options(queue=name).send(f"jobs.{name}")
        assert job.result(timeout=10) == name


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_idle_worker_wakes_up_at_once_for_any_queue(ground: Ground, kind: str) -> None:
    ground.write(COMMON, ASYNC if kind == "async" else "")
    ground.start("jobq", "worker", "--processes", "1", "-q", "one", "-q", "two")
    took: dict[str, list[float]] = {"one": [], "two": []}
    for _ in range(10):
        for queue, times in took.items():
            began = time.monotonic()
            ground.app.options(queue=queue).send("jobs.who").result(timeout=10)
            times.append(time.monotonic() - began)
    for queue, times in took.items():
        assert sorted(times)[4] < 0.05, f"{queue}: {times}"


def test_a_frozen_process_does_not_keep_an_idle_one_from_work(ground: Ground) -> None:
    ground.write(COMMON)
    worker = ground.worker(processes=2)
    assert ground.send("jobs.who").result(timeout=10) in children(worker.pid)
    frozen, healthy = children(worker.pid)
    os.kill(frozen, signal.SIGSTOP)
    # At most one job can be in its hands: it waited for one.
    jobs = [ground.send("jobs.who") for _ in range(5)]
    wait_until(
        lambda: sum(job.status() == "succeeded" for job in jobs) >= 4, "four of five have run"
    )
    os.kill(frozen, signal.SIGCONT)
    assert {job.result(timeout=10) for job in jobs} <= {frozen, healthy}
