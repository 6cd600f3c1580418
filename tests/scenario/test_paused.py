"""Pauses, on real workers: nothing starts while it lasts, and all of it afterwards, once."""

import os
import signal
import time

import pytest

from jobq.store.ops import inspect
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import COMMON, PATIENCE, Ground, children
from tests.support.wait import wait_until

JOBS = """
@app.job(queue="mail")
def mail(n):
    trace("ran", n, time.time())
    time.sleep(0.002)

@app.job(queue="mail")
def other(n):
    trace("other", n, time.time())
    time.sleep(0.002)

@app.job(queue="mail")
async def amail(n):
    trace("ran", n, time.time())
    await asyncio.sleep(0.002)

@app.job(queue="mail")
async def aother(n):
    trace("other", n, time.time())
    await asyncio.sleep(0.002)
"""

SYNC_JOBS = JOBS.partition('@app.job(queue="mail")\nasync')[0]

KINDS = pytest.mark.parametrize(
    ("jobs", "options", "a"),
    [
        (SYNC_JOBS, (), ""),
        (SYNC_JOBS, ("--threads", "3"), ""),
        (JOBS, ("--concurrency", "5"), "a"),
        (JOBS, ("--threads", "2"), ""),
    ],
    ids=["inline", "threads", "async", "mixed"],
)


def rest(ground: Ground) -> int:
    return ground.app.queue("mail").size()


def wait_still(ground: Ground, word: str = "ran") -> None:
    """Wait until no job has started for a quarter of a second."""
    seen = [-1, 0.0]

    def is_still() -> bool:
        many, now = len(ground.traced(word)), time.monotonic()
        if many != seen[0]:
            seen[:] = [many, now]
        return now - seen[1] > 0.25

    wait_until(is_still, "nothing starts any more", PATIENCE)


@KINDS
@pytest.mark.slow
def test_a_queue_is_paused_and_resumed(
    ground: Ground, jobs: str, options: tuple[str, ...], a: str
) -> None:
    ground.write(jobs)
    worker = ground.worker(*options, processes=2)
    ground.put(f"jobs.{a}mail", [(n,) for n in range(2000)], "mail")
    ground.wait_traced("ran", 50)
    queue = ground.app.queue("mail")
    before = time.time()
    queue.pause(reason="test")
    after = time.time()
    wait_still(ground)
    late = max(float(rest[1]) for rest in ground.traced("ran")) - before
    assert late < 0.1 + (after - before) + 0.25, f"one started {late:.3f} s after the pause"
    ran = sum(ground.ran().values())
    assert ran + rest(ground) == 2000
    seen = ground.app.store.run(inspect.count("mail"))
    assert (seen.running, seen.ready) == (0, 2000 - ran)
    assert queue.is_paused()
    resumed = time.time()
    assert queue.resume()
    ground.wait_traced("ran", ran + 1)
    first = min(float(rest[1]) for rest in ground.traced("ran")[ran:]) - resumed
    assert first < 0.1 + 0.25, f"the first one started {first:.3f} s after the resume"
    ground.wait_empty("mail")
    assert ground.ran() == dict.fromkeys(range(2000), 1)
    worker.terminate()
    assert worker.wait(PATIENCE) == 0


@KINDS
@pytest.mark.slow
def test_one_job_function_is_paused_and_the_others_go_on(
    ground: Ground, jobs: str, options: tuple[str, ...], a: str
) -> None:
    ground.write(jobs)
    ground.worker(*options, processes=2)
    calls = [(n,) for n in range(300)]
    queue = ground.app.queue("mail")
    for at in range(0, 300, 20):
        ground.put(f"jobs.{a}mail", calls[at : at + 20], "mail")
        ground.put(f"jobs.{a}other", calls[at : at + 20], "mail")
        if at == 0:
            ground.wait_traced("ran", 5)
            queue.pause(f"jobs.{a}mail")
    ground.wait_traced("other", 300)
    wait_still(ground)
    ran = sum(ground.ran().values())
    assert ran < 300
    seen = ground.app.store.run(inspect.count("mail"))
    assert (seen.ready, seen.held, seen.running) == (300 - ran, 300 - ran, 0)
    assert queue.is_paused(f"jobs.{a}mail")
    assert not queue.is_paused(f"jobs.{a}other")
    assert queue.resume(f"jobs.{a}mail")
    ground.wait_empty("mail")
    assert ground.ran() == ground.ran("other") == dict.fromkeys(range(300), 1)


@pytest.mark.slow
def test_a_worker_that_starts_takes_nothing_of_what_is_paused(ground: Ground) -> None:
    ground.write(SYNC_JOBS, COMMON)
    queue = ground.app.queue("mail")
    queue.pause(reason="closed")
    ground.put("jobs.mail", [(1,), (2,)], "mail")
    ground.put("jobs.short", [(7,)])
    said = "".join(ground.burst().err)
    assert ground.ran() == {7: 1}
    assert "left what is paused queue=mail" in said
    queue.resume()
    queue.pause("jobs.mail")
    ground.put("jobs.other", [(3,)], "mail")
    assert "left what is paused queue=mail name=jobs.mail" in "".join(ground.burst().err)
    assert ground.ran("other") == {3: 1}
    assert ground.ran() == {7: 1}
    queue.resume("jobs.mail")
    ground.burst()
    assert ground.ran() == {7: 1, 1: 1, 2: 1}


SLOWLY = """
@app.job(queue="mail", retries=3, backoff=0.05)
def fails(n):
    trace("tried", n, time.time())
    raise ValueError(n)

@app.job(queue="mail", max_crashes=3)
def dies(n):
    trace("died", n, time.time())
    os._exit(1)

@app.job(queue="mail")
def long(n):
    trace("began", n, time.time())
    time.sleep(0.4)
    trace("ended", n, time.time())
"""


@pytest.mark.slow
def test_two_hosts_heed_a_pause_and_one_of_their_workers_is_killed(ground: Ground) -> None:
    ground.write(SYNC_JOBS)
    one, two = ground.worker(processes=2), ground.worker(processes=2)
    ground.put("jobs.mail", [(n,) for n in range(2000)], "mail")
    ground.wait_traced("ran", 100)
    queue = ground.app.queue("mail")
    before = time.time()
    queue.pause()
    wait_still(ground)
    late = max(float(rest[1]) for rest in ground.traced("ran")) - before
    assert late < 0.1 + 0.25, f"one started {late:.3f} s after the pause"
    ran = len(ground.traced("ran"))
    # Another process takes the place of a dead one, and a new host comes: both have to look first.
    before_kill = set(children(one.pid))
    os.kill(min(before_kill), signal.SIGKILL)
    wait_until(
        lambda: len(set(children(one.pid)) - before_kill) == 1, "another one is there", PATIENCE
    )
    three = ground.worker(processes=1)
    wait_still(ground)
    assert len(ground.traced("ran")) == ran
    two.kill()
    assert queue.resume()
    ground.wait_empty("mail")
    assert set(ground.ran()) == set(range(2000))
    # The killed one may have finished jobs in its last 10 ms that it could not settle any more.
    assert sum(ground.ran().values()) <= 2000 + 20
    for worker in (one, three):
        worker.terminate()
        assert worker.wait(PATIENCE) == 0


@pytest.mark.slow
def test_it_is_kept_over_restarts_of_redis_and_of_workers(
    start_server: StartServer, make_ground: MakeGround
) -> None:
    server = start_server({"appendfsync": "always"}, appendonly=True)
    ground = make_ground(server)
    ground.write(SYNC_JOBS)
    worker = ground.worker()
    queue = ground.app.queue("mail")
    queue.pause("jobs.mail", reason="closed")
    wait_still(ground)  # by now every worker has heard of it
    ground.put("jobs.mail", [(1,), (2,)], "mail")
    held = wait_until(lambda: ground.app.store.run(inspect.count("mail")).held, "they are held")
    assert held in {1, 2}
    server.kill()
    server.start()
    ground.put("jobs.other", [(1,)], "mail")
    ground.wait_traced("other")
    worker.terminate()
    assert worker.wait(PATIENCE) == 0
    ground.worker()
    ground.put("jobs.other", [(2,)], "mail")
    ground.wait_traced("other", 2)
    assert ground.traced("ran") == []
    (pause,) = queue.pauses()
    assert (pause.job, pause.reason) == ("jobs.mail", "closed")
    assert queue.resume("jobs.mail")
    ground.wait_empty("mail")
    assert ground.ran() == {1: 1, 2: 1}


@pytest.mark.slow
def test_it_ends_by_itself(ground: Ground) -> None:
    ground.write(SYNC_JOBS)
    ground.worker(processes=2)
    ground.put("jobs.mail", [(0,)], "mail")
    ground.wait_traced("ran")
    queue = ground.app.queue("mail")
    queue.pause(for_=1.5)
    queue.pause("jobs.mail", for_=2.5)
    wait_still(ground)  # by now every worker has heard of it
    ground.put("jobs.mail", [(1,)], "mail")
    ground.put("jobs.other", [(1,)], "mail")
    ends = {one.job: one.until.timestamp() for one in queue.pauses() if one.until}
    ((_, other),) = ground.wait_traced("other")
    assert ends[None] <= float(other) < ends[None] + 0.1 + 0.25
    _, (_, mail) = ground.wait_traced("ran", 2)
    assert ends["jobs.mail"] <= float(mail) < ends["jobs.mail"] + 0.1 + 0.25
    assert queue.pauses() == ()


@pytest.mark.slow
def test_retries_delayed_jobs_and_suspects_wait_too_and_what_runs_goes_on(ground: Ground) -> None:
    ground.write(SYNC_JOBS, SLOWLY)
    worker = ground.worker(processes=2)
    ground.put("jobs.fails", [(1,)], "mail")
    ground.put("jobs.dies", [(2,)], "mail")
    ground.put("jobs.long", [(3,)], "mail")
    ground.wait_traced("began")
    queue = ground.app.queue("mail")
    queue.pause()
    delayed = ground.app.options(queue="mail", delay=0.2).send("jobs.mail", 4)
    ground.wait_traced("ended")
    wait_until(lambda: delayed.status() == "ready", "its time has come", PATIENCE)
    many = [len(ground.traced(word)) for word in ("tried", "died", "ran")]
    wait_still(ground, "tried")
    seen = [len(ground.traced(word)) for word in ("tried", "died", "ran")]
    # Up to one of each was on its way when the pause came.
    assert seen[2] == 0
    assert sum(seen) - sum(many) <= 1
    # No worker is started again and again for a suspect that may not start.
    alone = [line for line in worker.err if "started worker" in line]
    assert len(alone) < 10
    queue.resume()
    ground.wait_empty("mail", dead=2)
    assert ground.ran() == {4: 1}
    assert len(ground.traced("tried")) == 4
    assert len(ground.traced("died")) == 3


@pytest.mark.slow
def test_purge_and_move_while_workers_run(ground: Ground) -> None:
    ground.write(SYNC_JOBS)
    ground.worker("-q", "mail", processes=2)
    ground.put("jobs.mail", [(n,) for n in range(3000)], "mail")
    ground.wait_traced("ran", 50)
    moved = ground.app.queue("mail").move("bulk", older=0)
    assert moved.refusals == 0
    left = ground.app.queue("bulk").size()
    assert left == moved.done > 500
    ground.wait_empty("mail")
    assert len(ground.traced("ran")) == 3000 - left
    ground.app.queue("bulk").move("mail")
    ground.wait_traced("ran", 3000 - left + 50)
    purged = ground.app.queue("mail").purge()
    ground.wait_empty("mail")
    assert purged > 100
    ran = ground.ran()
    assert set(ran.values()) == {1}
    assert len(ran) == 3000 - purged
    assert ground.app.queue("bulk").size() == 0
