"""Redis goes away, forgets, fills up or is cut off: nothing is lost, and nobody spins."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobq.store import keys
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import COMMON, PATIENCE, Ground, children, cpu_seconds, once_each
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

KINDS = pytest.mark.parametrize("kind", ["sync", "async"])
ON_LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells it")

DOUBLE = """
@app.job(result_ttl="1h", backoff=0.05)
{kind} double(n):
    trace("ran", n)
    {nap}
    if n % 50 == 7 and current_job().attempt == 1:
        raise ValueError("once")
    return 2 * n
"""


def write(ground: Ground, kind: str) -> None:
    ground.write(
        COMMON,
        DOUBLE.format(
            kind="def" if kind == "sync" else "async def",
            nap="time.sleep(0.001)" if kind == "sync" else "await asyncio.sleep(0.01)",
        ),
    )


def check_results(ground: Ground, ids: list[str]) -> None:
    """Check that every job has the right result, and none is dead."""
    for number, job_id in enumerate(ids):
        assert ground.app.handle(job_id, "default").result(timeout=5) == 2 * number
    assert ground.left() == 0


def repeats(ground: Ground, many: int) -> int:
    """Return how many starts there were beyond those that were asked for."""
    ran = ground.ran()
    assert set(ran) == set(range(many))
    return sum(count - (2 if number % 50 == 7 else 1) for number, count in ran.items())


@KINDS
def test_redis_is_killed_and_comes_back_with_its_data(
    start_server: StartServer, make_ground: MakeGround, kind: str
) -> None:
    ground = make_ground(start_server(appendonly=True))
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    ground.wait_traced("ran", 300)
    ground.server.kill()
    worker.wait_for_line("lost redis")
    ground.server.start()
    ground.wait_empty()
    check_results(ground, ids)
    # The kernel has what was written before the kill: an outcome whose answer was lost is resent.
    assert repeats(ground, 2000) <= 0
    worker.wait_for_line("found redis again")
    assert "Traceback" not in worker.text


@KINDS
def test_redis_comes_back_empty(
    start_server: StartServer, make_ground: MakeGround, kind: str
) -> None:
    ground = make_ground(start_server())
    write(ground, kind)
    ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    ground.wait_traced("ran", 300)
    ground.server.kill()
    worker.wait_for_line("lost redis")
    ground.server.start()
    check_results(ground, ground.put("jobs.double", [(n,) for n in range(100)]))
    assert "Traceback" not in worker.text


@KINDS
def test_flushall_in_the_middle(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    ground.wait_traced("ran", 300)
    ground.redis.flushall()
    check_results(ground, ground.put("jobs.double", [(n,) for n in range(100)]))
    assert "Traceback" not in worker.text
    worker.terminate()
    assert worker.wait() == 0


@KINDS
def test_the_groups_are_destroyed(ground: Ground, kind: str) -> None:
    """None is lost, and what has finished is not run again."""
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    ground.wait_traced("ran", 300)
    ground.redis.xgroup_destroy(keys.jobs("default"), "jobq")
    ground.redis.xgroup_destroy(keys.retries("default"), "jobq")
    # Whoever notices first makes it anew, and may be a worker that is just starting.
    wait_until(lambda: ground.redis.xinfo_groups(keys.jobs("default")), "the group is back")
    ground.wait_empty()
    check_results(ground, ids)
    assert repeats(ground, 2000) <= 2 * 512
    assert "Traceback" not in worker.text


def test_the_groups_are_destroyed_while_all_are_idle(ground: Ground) -> None:
    write(ground, "sync")
    ground.worker(processes=2)
    check_results(ground, ground.put("jobs.double", [(n,) for n in range(500)]))
    done = ground.ran()
    ground.redis.xgroup_destroy(keys.jobs("default"), "jobq")
    ground.redis.xgroup_destroy(keys.retries("default"), "jobq")
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    assert ground.ran() == done


@KINDS
def test_scripts_are_flushed(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    with again_and_again(ground.redis.script_flush, 0.05):
        ground.wait_empty()
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0
    assert "worker died" not in worker.text


@KINDS
def test_connections_are_killed(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)

    def cut() -> None:
        for client in ground.redis.client_list():
            if client["name"] == "jobq":
                ground.redis.client_kill_filter(_id=client["id"])

    with again_and_again(cut, 0.2):
        wait_until(lambda: ground.left() == 0, "all have run", PATIENCE)
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0
    assert "worker died" not in worker.text


@KINDS
def test_the_line_is_cut_at_random(ground: Ground, proxy: Proxy, kind: str) -> None:
    ground.url = proxy.url
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    dice = random.Random(3)  # noqa: S311  the same in each run

    def fault() -> None:
        word = dice.choice(["EVALSHA", "XREADGROUP", ""])
        cut = proxy.cut_before_request if dice.random() < 0.5 else proxy.cut_after_request
        cut(word, skip=dice.randrange(5))

    with again_and_again(fault, 0.1):
        wait_until(lambda: ground.left() == 0, "all have run", PATIENCE)
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@KINDS
def test_lost_deliveries_are_found_by_the_same_worker(
    ground: Ground, proxy: Proxy, kind: str
) -> None:
    """A large batch is delivered, and its answer never arrives."""
    ground.url = proxy.url
    write(ground, kind)
    worker = ground.worker()
    ground.put("jobs.short", [(-1,)] * 3000)  # learn that jobs are short: batches grow
    ground.wait_empty()
    reads = [n for n, words in enumerate(proxy.commands) if words[0] == b"XREADGROUP"]
    assert len(reads) > 3
    fault = proxy.cut_after_request("XREADGROUP", skip=2)
    ids = ground.put("jobs.short", [(n,) for n in range(1500)])
    fault.wait()
    ground.wait_empty()
    ran = ground.ran()
    del ran[-1]
    assert ran == once_each(1500)
    assert len(ids) == 1500
    lost = [int(line.split("jobs=")[1].split()[0]) for line in worker.lines if "found lost" in line]
    assert lost, "the fault hit an empty read"


@pytest.mark.slow
def test_a_black_hole_for_some_seconds(ground: Ground, proxy: Proxy) -> None:
    ground.url = proxy.url
    write(ground, "sync")
    worker = ground.worker()
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    ground.wait_traced("ran", 300)
    proxy.black_hole()
    worker.wait_for_line("lost redis", 20)
    proxy.restore()
    ground.wait_empty()
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0


@pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
def test_a_full_redis_still_settles_retries_and_buries(
    start_server: StartServer, make_ground: MakeGround, kind: str
) -> None:
    ground = make_ground(start_server())
    is_async = kind == "async"
    ground.write(
        COMMON,
        """
@app.job(backoff=0.05)
{kind} work(n):
    trace("ran", n)
    {nap}
    if n == 1 and current_job().attempt < 3:
        raise ValueError("again")
    if n == 2:
        raise Dead("gone")
    return "x" * 1000
""".format(
            kind="async def" if is_async else "def",
            nap="await asyncio.sleep(0.5)" if is_async else "time.sleep(0.5)",
        ),
    )
    ids = ground.put("jobs.work", [(n,) for n in range(3)])
    worker = ground.worker()
    ground.wait_traced("ran")
    ground.redis.config_set("maxmemory", "1")
    ground.wait_empty(dead=1)
    assert ground.ran() == Counter({0: 1, 1: 3, 2: 1})
    for job_id in ids[:2]:
        assert ground.app.handle(job_id, "default").result(timeout=5) == "x" * 1000
    ground.redis.config_set("maxmemory", "0")
    assert len(ground.dead()) == 1
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    worker.terminate()
    assert worker.wait() == 0


@ON_LINUX
@KINDS
@pytest.mark.slow
def test_nobody_spins_while_redis_is_away(ground: Ground, proxy: Proxy, kind: str) -> None:
    ground.url = proxy.url
    write(ground, kind)
    worker = ground.worker()
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    proxy.refuse()
    worker.wait_for_line("lost redis")
    pids = [worker.pid, *children(worker.pid)]
    before = [cpu_seconds(pid) for pid in pids]
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 8, "eight seconds are over", 20)
    used = [cpu_seconds(pid) - cpu for pid, cpu in zip(pids, before, strict=True)]
    assert sum(used) < 0.8
    lost = [line for line in worker.lines if "lost redis" in line]
    assert len(lost) == 2, "each process says it once"
    proxy.accept()
    assert isinstance(ground.send("jobs.who").result(timeout=15), int)
    wait_until(
        lambda: sum("found redis again" in line for line in worker.lines) == 2, "both say it", 15
    )


@ON_LINUX
@KINDS
@pytest.mark.slow
def test_an_idle_worker_is_quiet(ground: Ground, kind: str) -> None:
    write(ground, kind)
    worker = ground.worker(processes=2)
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    pids = [worker.pid, *children(worker.pid)]

    def commands() -> int:
        stats = ground.redis.info("commandstats")
        return sum(int(row["calls"]) for name, row in stats.items() if name != "cmdstat_info")

    before, cpu = commands(), [cpu_seconds(pid) for pid in pids]
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 5, "five seconds are over", 20)
    took = time.monotonic() - began
    rate = (commands() - before) / took
    used = [(cpu_seconds(pid) - was) / took for pid, was in zip(pids, cpu, strict=True)]
    assert rate < 60
    assert max(used) < 0.1


@pytest.mark.slow
def test_a_replica_refuses_for_a_while(start_server: StartServer, make_ground: MakeGround) -> None:
    """A master that becomes a replica: one line, and all goes on when it is a master again."""
    ground = make_ground(start_server())
    ground.write(COMMON)
    worker = ground.worker()
    job = ground.send("jobs.slow", 1, 1.0)
    ground.wait_traced("started")
    ground.server.cli("REPLICAOF", "127.0.0.1", "1")
    ground.wait_traced("ended")
    worker.wait_for_line("kept outcomes jobs=1 .*read-only")
    worker.wait_for_line("refused by redis .*read-only")
    ground.server.cli("REPLICAOF", "NO", "ONE")
    assert job.result(timeout=10) == 1
    assert isinstance(ground.send("jobs.who").result(timeout=10), int)
    assert len(worker.lines) < 30
    assert ground.ran("started") == Counter([1])


@contextmanager
def again_and_again(act: Callable[[], object], pause: float) -> Iterator[None]:
    """Do something every so many seconds, until the block is left."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause):
            act()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
