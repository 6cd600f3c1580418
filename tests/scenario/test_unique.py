"""Uniqueness with real workers, of which some are killed: one waiting job a key, no lock left."""

import itertools
import sys
import threading
from collections import Counter

import pytest
from redis import Redis

from jobq import JobQ
from tests.scenario.ground import Ground, children, kill
from tests.support.wait import wait_until
from tests.support.waiting import waiting

KEYS = 100
CALLS = 20_000
PRODUCERS = 4

JOBS = """
@app.job
def index(key, number):
    trace("index", key, number)
    time.sleep(0.003)

@app.job
def once(n):
    trace("once", n)

@app.job(retries=1)
def falls(n):
    trace("falls", n, current_job().attempt)
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)

@app.job(retries=0)
def dies(n):
    trace("dies", n)
    os.kill(os.getpid(), signal.SIGKILL)

@app.job
def hangs(n):
    trace("hangs", n)
    if not os.path.exists("go"):
        time.sleep(600)
"""


def produce(app: JobQ, number: int, last: dict[int, int]) -> None:
    """Call for each key of one producer in turn, so that each key has a last call."""
    call = app.options(
        unique=lambda key, _: key, debounce=0.4, debounce_max=1.0, on_conflict="replace"
    )
    mine = itertools.cycle(range(number, KEYS, PRODUCERS))
    for at, key in zip(range(CALLS // PRODUCERS), mine, strict=False):
        call.send("jobs.index", key, at)
        last[key] = at


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_twenty_thousand_debounced_calls_while_workers_run_and_die(
    ground: Ground, redis: Redis
) -> None:
    ground.write(JOBS)
    workers = [ground.worker(processes=2) for _ in range(2)]
    last: dict[int, int] = {}
    producers = [
        threading.Thread(target=produce, args=(ground.app, number, last))
        for number in range(PRODUCERS)
    ]
    samples: list[int] = []
    over = threading.Event()

    def sample() -> None:
        while not over.is_set():
            samples.append(max(waiting(redis, ground.app.codec).values(), default=0))

    sampler = threading.Thread(target=sample)
    for thread in (sampler, *producers):
        thread.start()
    kills = 0
    while any(one.is_alive() for one in producers):
        ran = len(ground.traced("index"))
        wait_until(
            lambda: (
                len(ground.traced("index")) > ran + 50  # noqa: B023
                or not any(one.is_alive() for one in producers)
            ),
            "jobs run while calls are made",
            60.0,
        )
        pids = children(workers[kills % 2].pid)
        if pids:
            kill(pids[0])
            kills += 1
    ground.wait_empty(timeout=60.0)
    over.set()
    sampler.join()
    assert kills >= 2
    assert len(samples) > 50
    assert max(samples) == 1, "at most one waits"
    started = {int(key): int(number) for key, number in ground.traced("index")}
    assert started == last, "the last arguments run last"
    assert len(ground.traced("index")) < CALLS / 4


@pytest.mark.slow
def test_several_producers_at_once(ground: Ground) -> None:
    ground.write(JOBS)
    program = (
        "from jobs import app\n"
        "call = app.options(unique='args')\n"
        "for _ in range(20):\n"
        "    for n in range(20):\n"
        "        call.send('jobs.once', n)\n"
    )
    programs = [ground.start(sys.executable, "-c", program) for _ in range(3)]
    for one in programs:
        one.check(60.0)
    assert ground.left() == 20
    ground.burst()
    assert ground.ran("once") == Counter(range(20))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["falls", "dies"])
def test_a_worker_that_dies_leaves_no_lock(ground: Ground, name: str) -> None:
    ground.write(JOBS)
    ground.worker()
    call = ground.app.options(unique="args")
    first = call.send(f"jobs.{name}", 1)
    ended = "succeeded" if name == "falls" else "dead"
    wait_until(lambda: first.status() == ended, f"it is {ended}", 30.0)
    assert len(ground.traced(name)) == (2 if name == "falls" else 1)
    second = call.send(f"jobs.{name}", 1)
    assert second != first
    wait_until(lambda: second.status() == ended, f"it is {ended} too", 30.0)


@pytest.mark.slow
def test_a_host_that_dies_leaves_no_lock_and_its_job_keeps_the_key(ground: Ground) -> None:
    ground.write(JOBS)
    victim = ground.worker("--lease", "2s")
    call = ground.app.options(unique="args")
    first = call.send("jobs.hangs", 1)
    ground.wait_traced("hangs")
    pids = children(victim.pid)
    kill(victim.pid)
    for pid in pids:
        kill(pid)
    assert call.send("jobs.hangs", 1) == first, "it waits for another worker"
    (ground.folder / "go").touch()
    ground.worker("--lease", "2s")
    wait_until(lambda: first.status() == "succeeded", "another worker has run it", 60.0)
    second = call.send("jobs.hangs", 1)
    assert second != first
    wait_until(lambda: second.status() == "succeeded", "it has run", 30.0)
