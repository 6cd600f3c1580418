"""Redis forgets or is cut off: nothing is lost. tests/faults has the harder cases."""

import pytest

from jobq.store import keys
from tests.scenario.ground import COMMON, PATIENCE, Ground, once_each
from tests.support.meanwhile import meanwhile
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])

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
@pytest.mark.slow
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
@pytest.mark.slow
def test_scripts_are_flushed(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)
    with meanwhile(ground.redis.script_flush, lambda: 0.05):
        ground.wait_empty()
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0
    assert "worker died" not in worker.text


@KINDS
@pytest.mark.slow
def test_connections_are_killed(ground: Ground, kind: str) -> None:
    write(ground, kind)
    ids = ground.put("jobs.double", [(n,) for n in range(2000)])
    worker = ground.worker(processes=2)

    def cut() -> None:
        for client in ground.redis.client_list():
            if client["name"] == "jobq":
                ground.redis.client_kill_filter(_id=client["id"])

    with meanwhile(cut, lambda: 0.2):
        wait_until(lambda: ground.left() == 0, "all have run", PATIENCE)
    check_results(ground, ids)
    assert repeats(ground, 2000) == 0
    assert "worker died" not in worker.text


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
