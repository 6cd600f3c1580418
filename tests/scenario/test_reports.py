"""What jobs tell while they run: streams that many read, checkpoints that survive kills."""

import asyncio
import os
import signal
import threading
from collections import Counter

import pytest

from jobq import JobQ
from jobq.store import keys
from jobq.store.wire import Script
from tests.conftest import StartServer
from tests.scenario.conftest import MakeGround
from tests.scenario.ground import PATIENCE, Ground, children, kill
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

JOBS = """
import jobq, logging

log = logging.getLogger("shop")
log.setLevel(logging.INFO)
log.addHandler(jobq.JobLogHandler())

@app.job
def talk(n, chunks):
    job = current_job()
    for number in range(chunks):
        job.stream([n, number])
        job.progress(number / chunks, f"chunk {number}")
        if number % 10 == 0:
            log.info("at %d", number)
    return n

@app.job
async def atalk(n, chunks):
    job = current_job()
    for number in range(chunks):
        await job.astream([n, number])
        await asyncio.sleep(0)
    return n

@app.job(retries=10, max_crashes=10)
def steps(many, seconds):
    job = current_job()
    done = job.checkpointed or 0
    trace("resumed", done, os.getpid())
    while done < many:
        trace("step", done, os.getpid())
        time.sleep(seconds)
        done += 1
        job.checkpoint(done)
    return done

@app.job(retries=3)
def stubborn():
    job = current_job()
    trace("began", job.attempt, os.getpid())
    if job.checkpointed is not None:
        return job.checkpointed
    job.checkpoint("of the first")
    deadline = time.time() + 60
    while time.time() < deadline:
        time.sleep(0.05)
        try:
            job.checkpoint("still the first")
        except jobq.errors.AttemptLost:
            trace("lost", job.attempt)
            return None
"""

MANY = 100


class Reader(threading.Thread):
    """Reads what jobs stream, one job after the other.

    Attributes:
        found: by job, the values it has read.
        missed: how many chunks it was told that it had missed.
    """

    def __init__(self, url: str, ids: list[str]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._ids = ids
        self.found: dict[str, list[object]] = {one: [] for one in ids}
        self.missed = 0

    def run(self) -> None:
        with JobQ(self._url) as app:
            for one in self._ids:
                for part in app.handle(one, "default").stream():
                    self.found[one].append(part.value)
                    self.missed += part.missed


async def aread(url: str, ids: list[str]) -> dict[str, list[object]]:
    """Read all of it at once, on one loop; each reader goes away and comes back once."""
    app = JobQ(url)

    async def one_of(job_id: str) -> list[object]:
        found: list[object] = []
        last = None
        async for part in app.handle(job_id, "default").astream():
            found.append(part.value)
            last = part.id
            if len(found) == MANY // 2:
                break
        rest = app.handle(job_id, "default").astream(after=last)
        return found + [part.value async for part in rest]

    try:
        found = await asyncio.gather(*map(one_of, ids))
    finally:
        await app.aclose()
    return dict(zip(ids, found, strict=True))


def test_every_reader_gets_every_chunk_once_and_in_order(
    server: Server, make_ground: MakeGround, proxy: Proxy
) -> None:
    """100 jobs of 100 chunks; the line of the worker and of a reader is cut again and again."""
    with Proxy(server.url) as between:
        ground = make_ground(server, between.url)
        ground.write(JOBS)
        names = ["jobs.talk", "jobs.atalk"]
        ids = [ground.send(names[n % 2], n, MANY).id for n in range(MANY)]
        readers = [Reader(server.url, ids), Reader(proxy.url, ids), Reader(proxy.url, ids[::-1])]
        for reader in readers:
            reader.start()
        sha = Script("report").sha
        cuts = [between.cut_after_request(sha, skip=10 * n) for n in range(5)]
        ground.worker()
        with asyncio.Runner() as runner:
            runner.get_loop().call_later(0.3, proxy.cut)
            seen = [runner.run(aread(proxy.url, ids))]
        proxy.cut()
        ground.wait_empty(timeout=60)
        for reader in readers:
            reader.join(PATIENCE)
            assert not reader.is_alive()
            assert reader.missed == 0
        seen += [reader.found for reader in readers]
        assert any(cut.fired for cut in cuts)
    whole = {one: [[n, number] for number in range(MANY)] for n, one in enumerate(ids)}
    for found in seen:
        assert found == whole


def test_cuts_of_the_worker_double_no_chunk(
    server: Server, make_ground: MakeGround, proxy: Proxy
) -> None:
    ground = make_ground(server, proxy.url)
    ground.write(JOBS)
    sha = Script("report").sha
    cuts = [proxy.cut_after_request(sha, skip=n) for n in range(0, 20, 2)]
    cuts += [proxy.cut_before_request(sha, skip=n) for n in range(1, 20, 2)]
    handles = [ground.send("jobs.talk", n, 500) for n in range(10)]
    ground.worker()
    for n, handle in enumerate(handles):
        parts = list(handle.stream())
        assert [part.value for part in parts] == [[n, number] for number in range(500)]
        assert {part.missed for part in parts} == {0}
        assert [line.text for line in handle.logs()] == [f"at {at}" for at in range(0, 500, 10)]
        progress = handle.progress()
        assert progress is not None
        assert progress.note == "chunk 499"
    assert sum(cut.fired for cut in cuts) > 5


def test_a_job_that_is_killed_three_times_does_each_step_once_or_the_one_in_hand_twice(
    ground: Ground,
) -> None:
    ground.write(JOBS)
    handle = ground.send("jobs.steps", 40, 0.05)
    ground.worker(processes=2)
    for many in (10, 20, 30):
        pid = int(ground.wait_traced("step", many)[-1][1])
        kill(pid)
        ground.wait_traced("resumed", many // 10 + 1)
    assert handle.result(timeout=PATIENCE) == 40
    steps = ground.traced("step")
    did = Counter(int(number) for number, _ in steps)
    assert set(did) == set(range(40))
    assert max(did.values()) <= 2
    assert did.total() <= 43, "each kill repeats one step at most"
    resumed = [int(at) for at, _ in ground.traced("resumed")]
    assert resumed == sorted(resumed)
    assert len(resumed) == 4
    assert ground.redis.exists(keys.checkpoint("default", handle.id)) == 0


def test_a_worker_that_has_lost_its_lease_writes_no_checkpoint(ground: Ground) -> None:
    """It stands still for longer than the lease, supervisor and all, and another one takes over."""
    ground.write(JOBS)
    handle = ground.send("jobs.stubborn")
    first = ground.worker("--lease", "2")
    pid = int(ground.wait_traced("began")[0][1])
    wait_until(lambda: ground.redis.exists(keys.checkpoint("default", handle.id)), "it is there")
    stopped = [first.pid, *children(first.pid)]
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    try:
        ground.worker("--lease", "2")
        ground.wait_traced("began", 2, timeout=PATIENCE)
        assert handle.result(timeout=PATIENCE) in {"of the first", "still the first"}
    finally:
        for one in stopped:
            os.kill(one, signal.SIGCONT)
    assert pid in stopped
    ground.wait_traced("lost", timeout=PATIENCE)
    assert ground.redis.exists(keys.checkpoint("default", handle.id)) == 0


def test_redis_is_killed_and_comes_back(start_server: StartServer, make_ground: MakeGround) -> None:
    server = start_server({"appendfsync": "always"}, appendonly=True)
    ground = make_ground(server)
    ground.write(JOBS)
    handle = ground.send("jobs.steps", 60, 0.05)
    worker = ground.worker()
    ground.wait_traced("step", 20)
    server.kill()
    server.start()
    assert handle.result(timeout=PATIENCE) == 60
    did = Counter(int(number) for number, _ in ground.traced("step"))
    assert set(did) == set(range(60))
    assert max(did.values()) <= 2
    assert worker.running


def test_where_nothing_is_reported_there_is_no_thread(ground: Ground) -> None:
    ground.write("""
@app.job
def names():
    return sorted(thread.name for thread in threading.enumerate())
""")
    handle = ground.send("jobs.names")
    ground.burst()
    assert "jobq-reports" not in str(handle.result(timeout=PATIENCE))


def test_a_full_redis_keeps_no_reports_and_ends_the_job(
    start_server: StartServer, make_ground: MakeGround
) -> None:
    server = start_server()
    ground = make_ground(server)
    ground.write("""
@app.job
def report(n):
    job = current_job()
    job.checkpoint(1)
    trace("began")
    while not os.path.exists(os.environ["TRACE"] + ".full"):
        time.sleep(0.01)
    try:
        job.checkpoint(2)
    except Exception as error:
        trace(type(error).__name__)
    job.log("lost")
    job.stream("lost")
    return n
""")
    handle = ground.send("jobs.report", 7)
    worker = ground.worker()
    ground.wait_traced("began")
    server.cli("CONFIG", "SET", "maxmemory", "1")
    (ground.folder / "trace.full").touch()
    assert handle.result(timeout=PATIENCE) == 7
    server.cli("CONFIG", "SET", "maxmemory", "0")
    assert ground.traced("StoreFull")
    assert list(handle.logs()) == []
    worker.wait_for_line(r"kept no reports job=\S+ error=Redis is out of memory")
    assert ground.redis.exists(keys.checkpoint("default", handle.id)) == 0
