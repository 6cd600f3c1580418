"""No crash leaves a lock: not that of a worker, of a host, or of Redis."""

import itertools
import os
import signal
import threading
import time

import pytest
from redis.exceptions import RedisError

from jobq import JobQ
from jobq.errors import StoreUnavailable
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import SYNC, Field
from tests.faults.hosts import Host, start_host, start_hosts, wait_gone
from tests.scenario.ground import PATIENCE
from tests.support.wait import wait_until
from tests.support.waiting import waiting

pytestmark = pytest.mark.slow

JOBS = """
@app.job(backoff=0.05)
def hangs(n):
    job = begin()
    while not os.path.exists("go"):
        time.sleep(0.01)
    end(job)

@app.job(backoff=2.0, retries=1)
def fails(n):
    begin()
    raise ValueError("each time")

@app.job(max_crashes=2, retries=5, backoff=0.05)
def crashes(n):
    begin()
    os.kill(os.getpid(), signal.SIGKILL)

@app.job(backoff=0.05, retries=20, max_crashes=20)
def index(key, number):
    job = begin()
    trace("index", key, number)
    time.sleep(0.002)
    end(job)
"""


@pytest.fixture
def lasting(start_server: StartServer, make_field: MakeField) -> Field:
    """A field on a Redis that keeps its data over a kill."""
    field = make_field(start_server(appendonly=True))
    field.write(SYNC, JOBS)
    return field


@pytest.mark.fault("G1", "G2", "G4")
@pytest.mark.parametrize("what", ["worker", "host", "redis", "redis and host"])
@pytest.mark.parametrize("unique_for", ["until_done", "until_start"])
def test_a_crash_leaves_no_lock(lasting: Field, fault: Fault, what: str, unique_for: str) -> None:
    """The job that crashed has its key until it has ended, and then nobody has it."""
    field = lasting
    host = start_host(field, "one", "--lease", "2", processes=1)
    call = field.app.options(unique="args", unique_for=unique_for)
    first = call.send("jobs.hangs", 1)
    field.wait_traced("start")
    at = time.monotonic()
    crash(field, host, what)
    if unique_for == "until_done":
        assert call.send("jobs.hangs", 1) == first, "it has not ended"
    if "host" in what:
        start_host(field, "two", "--lease", "2", processes=1)
    (field.folder / "go").touch()
    wait_until(lambda: first.status() == "succeeded", "it has run after all", PATIENCE)
    fault.recovery = time.monotonic() - at
    second = call.send("jobs.hangs", 1)
    assert second != first
    wait_until(lambda: second.status() == "succeeded", "the next one runs", PATIENCE)
    account = field.account([first.id, second.id])
    fault.enter(account)
    assert account.ends[first.id] == account.ends[second.id] == 1
    assert account.starts[first.id] == (1 if what == "redis" else 2)


def crash(field: Field, host: Host, what: str) -> None:
    pids = host.pids
    if what == "worker":
        os.kill(host.workers[0], signal.SIGKILL)
    if "host" in what:
        host.child.kill_group()
        wait_gone(pids)
    if "redis" in what:
        field.server.kill()
        field.server.start()


@pytest.mark.fault("G1", "G2")
@pytest.mark.parametrize("unique_for", ["until_done", "1h"])
@pytest.mark.parametrize("name", ["fails", "crashes"])
def test_a_retry_holds_its_key_and_a_dead_letter_frees_it(
    lasting: Field, fault: Fault, name: str, unique_for: str
) -> None:
    """Through a Redis that is killed, too: the key is where the job is, and nowhere else."""
    field = lasting
    start_host(field, "one", "--lease", "2", processes=1)
    call = field.app.options(unique="args", unique_for=unique_for)
    first = call.send(f"jobs.{name}", 1)
    field.wait_traced("start")
    assert call.send(f"jobs.{name}", 1) == first
    field.server.kill()
    field.server.start()
    if name == "fails":  # it waits for its retry
        assert call.send(f"jobs.{name}", 1) == first
        assert len(field.traced("start")) == 1
    wait_until(lambda: first.status() == "dead", "it is dead", PATIENCE)
    second = call.send(f"jobs.{name}", 1)
    assert second != first
    wait_until(lambda: second.status() == "dead", "the next one has run, too", PATIENCE)
    account = field.account([first.id, second.id])
    fault.enter(account)
    assert account.starts == {first.id: 2, second.id: 2}
    fault.duplicated = account.duplicated - 2  # the retries that were asked for


KEYS = 100
CALLS = 4000
PRODUCERS = 2


def produce(app: JobQ, number: int, last: dict[int, int]) -> None:
    """Call for each key of one producer in turn, again where Redis was away."""
    call = app.options(
        unique=lambda key, _: key, debounce=0.3, debounce_max=0.8, on_conflict="replace"
    )
    mine = itertools.cycle(range(number, KEYS, PRODUCERS))
    for at, key in zip(range(CALLS // PRODUCERS), mine, strict=False):
        while True:
            try:
                call.send("jobs.index", key, at)
            except StoreUnavailable:
                continue
            break
        last[key] = at


@pytest.mark.timeout(120)
@pytest.mark.fault("G1", "G2", "G14")
def test_debounced_calls_while_workers_and_redis_are_killed(lasting: Field, fault: Fault) -> None:
    """At most one job of a key waits at any moment, and the last arguments of each run last."""
    field = lasting
    hosts = start_hosts(field, ["one", "two"], "--lease", "2")
    last: dict[int, int] = {}
    most: list[int] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=produce, args=(field.app, number, last))
        for number in range(PRODUCERS)
    ]

    def sample() -> None:
        with field.server.connect() as redis:
            while not over.is_set():
                try:
                    most.append(max(waiting(redis, field.app.codec).values(), default=0))
                except RedisError:  # it is being killed
                    continue

    sampler = threading.Thread(target=sample)
    for thread in (sampler, *threads):
        thread.start()
    kills = 0
    try:
        for number in range(4):
            ran = len(field.traced("index"))
            wait_until(lambda: len(field.traced("index")) > ran + 40, "jobs run", PATIENCE)  # noqa: B023
            os.kill(hosts[number % 2].workers[0], signal.SIGKILL)
            kills += 1
            if number in {1, 3}:
                field.server.kill()
                field.server.start()
        for thread in threads:
            thread.join(60)
        field.wait_over(timeout=60)
    finally:
        over.set()
        sampler.join()
    started = {int(key): int(number) for key, number in field.traced("index")}
    fault.lost = sum(started.get(key) != number for key, number in last.items())
    fault.note(f"{CALLS} calls, {len(field.traced('index'))} starts, {kills} workers killed")
    assert len(last) == KEYS
    assert started == last, "the last arguments run last"
    assert max(most) == 1, "at most one waits"
    assert len(most) > 50
    assert len(field.traced("index")) < CALLS / 2
    assert field.dead() == []
