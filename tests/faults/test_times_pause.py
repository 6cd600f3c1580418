"""Pauses hold whoever dies, and a queue is moved though who moves it is killed."""

import os
import random
import re
import signal
import time

import pytest

from jobq.store import keys
from jobq.store.ops.enqueue import register_queue
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import JOBS, SYNC, Field, wait_seconds
from tests.faults.hosts import all_once, start_host, start_hosts, wait_gone, wait_idle
from tests.scenario.ground import PATIENCE, kill
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

#: Seconds in which a worker notices that its supervisor has died.
NOTICES = 1.0


def assert_still(field: Field, seconds: float = 1.0) -> None:
    """See that nothing starts for a while."""
    seen = field.starts().total()
    wait_seconds(seconds)
    assert field.starts().total() == seen, "something has started"


def starts_after(field: Field, moment: float) -> list[float]:
    """Return the times of the starts that were later than a moment, counted from it."""
    return [float(rest[3]) - moment for rest in field.traced("start") if float(rest[3]) > moment]


@pytest.mark.fault("G1", "G14")
@pytest.mark.parametrize("whole", [True, False], ids=["queue", "function"])
def test_a_pause_outlives_redis_supervisors_and_workers(
    start_server: StartServer, make_field: MakeField, fault: Fault, whole: bool
) -> None:
    """They are killed and replaced while it lasts: nothing starts, and all of it afterwards."""
    field = make_field(start_server(appendonly=True))
    one, two = start_hosts(field, ["one", "two"], "--lease", "2")
    ids = field.put("jobs.work", [(n, 0.01) for n in range(600)])
    field.wait_traced("end", 50)
    queue = field.app.queue("default")
    queue.pause(None if whole else "jobs.work", reason="the fault suite")
    began = time.monotonic()
    wait_seconds(0.5)
    late = max(starts_after(field, began), default=0.0)
    fault.note(f"the last start {late:.3f} s after the pause")
    assert_still(field)
    workers = one.workers
    os.kill(one.child.pid, signal.SIGKILL)
    os.kill(two.workers[0], signal.SIGKILL)
    wait_gone(workers)
    field.server.kill()
    field.server.start()
    start_host(field, "three", "--lease", "2")
    assert_still(field)
    two.child.kill_group()
    assert_still(field, 3.5)  # what it held is taken over
    (pause,) = queue.pauses()
    assert pause.reason == "the fault suite"
    ran = field.starts().total()
    assert queue.resume(None if whole else "jobs.work")
    began = time.monotonic()
    field.wait_traced("start", ran + 1)
    fault.recovery = time.monotonic() - began
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert late < 0.35
    assert fault.recovery < 1


@pytest.mark.fault("G1", "G4")
@pytest.mark.parametrize("kind", ["inline", "threads", "async"])
@pytest.mark.parametrize("first", ["pause", "kill"])
def test_an_orphan_of_a_queue_that_is_paused(
    field: Field, fault: Fault, kind: str, first: str
) -> None:
    """Nobody tells an orphan, but it ends soon: it finishes what runs, and gives back the rest."""
    field.write(JOBS if kind == "async" else SYNC)
    options = {"threads": ("--threads", "3"), "async": ("--concurrency", "5")}.get(kind, ())
    name = "jobs.awork" if kind == "async" else "jobs.work"
    host = start_host(field, "one", "--lease", "2", *options)
    wait_idle(field, 2)
    ids = field.put(name, [(n, 0.02) for n in range(800)])
    field.wait_traced("end", 30)
    workers = host.workers
    queue = field.app.queue("default")
    if first == "pause":
        queue.pause()
        os.kill(host.child.pid, signal.SIGKILL)
        paused = time.monotonic()
    else:
        os.kill(host.child.pid, signal.SIGKILL)
        queue.pause()
        paused = time.monotonic()
    wait_gone(workers)
    late = max(starts_after(field, paused), default=0.0)
    fault.note(f"the last start {late:.2f} s after the pause")
    assert late < NOTICES + 0.5
    start_host(field, "two", "--lease", "2", *options)
    assert_still(field)
    ran = field.starts().total()
    assert queue.resume()
    field.wait_over(timeout=60)
    account = field.account(ids)
    fault.enter(account)
    assert ran < len(ids), "there was nothing left to pause"
    assert all_once(account, ids)


# ---------------------------------------------------------------------------- move

MANY = 5000
BOTH = ("default", "letters")
MOVE = ("jobq", "queue", "move", *BOTH, "--yes")


def index_of(field: Field, queue: str) -> set[str]:
    return ids_in(field, keys.index(queue))


def ids_in(field: Field, key: str) -> set[str]:
    """Return the fields of a hash."""
    return {one.decode() for one in field.server.cli("HKEYS", key)}


def hurry(field: Field, queue: str) -> int:
    """Let a minute pass for what was put aside; returns how many jobs that concerns."""
    due = field.server.cli("ZRANGE", keys.due(queue), 0, -1)
    aside = [member for member in due if member[:1] == b"?"]
    for member in aside:
        field.server.cli("ZADD", keys.due(queue), 1, member)
    return len(aside)


@pytest.mark.timeout(120)
@pytest.mark.fault("G1", "G2")
@pytest.mark.parametrize("redis_too", [False, True], ids=["mover", "mover and redis"])
def test_who_moves_a_queue_is_killed(
    start_server: StartServer, make_field: MakeField, fault: Fault, redis_too: bool
) -> None:
    """Moved again, each job is in one queue, once; it starts once."""
    field = make_field(start_server(appendonly=True))
    chance = random.Random(11)  # noqa: S311  when, not a secret
    ids = field.put("jobs.work", [(n,) for n in range(MANY // 2)])
    ids += field.put("jobs.work", [(n,) for n in range(MANY // 4)], "default high")
    ids += field.put("jobs.work", [(n,) for n in range(MANY // 4)], due=(3_600_000, 0))
    field.app.store.run(register_queue("letters"))
    both: set[str] = set()
    kills = 0
    for part in (0.1, 0.4, 0.7, 0.9):
        mover = field.start(*MOVE)
        there = part * MANY + chance.randrange(MANY // 20)
        wait_until(
            lambda: field.redis.hlen(keys.index("letters")) >= there,  # noqa: B023
            "it moves",
            PATIENCE,
        )
        if redis_too:
            field.server.kill()
        if mover.running:
            kill(mover.pid)
            kills += 1
        if redis_too:
            field.server.start()
        both |= index_of(field, "default") & index_of(field, "letters")
        assert index_of(field, "default") | index_of(field, "letters") == set(ids), "none is lost"
    said = field.start(*MOVE).check(PATIENCE)
    fault.note(f"{kills} kills; {len(both)} in both queues until it was run again")
    assert kills >= 3
    assert re.search(r"\d+ jobs? moved", said)
    assert index_of(field, "default") == set()
    assert index_of(field, "letters") == set(ids)
    assert field.redis.zcard(keys.due("default")) == field.redis.hlen(keys.delayed("default")) == 0
    delayed = ids_in(field, keys.delayed("letters"))
    assert len(delayed) == MANY // 4
    ready = set(ids) - delayed
    late = hurry(field, "letters")
    fault.note(f"{late} would start a minute late")
    assert late <= kills * 100
    field.worker("-q", "default", "-q", "letters", processes=2)
    wait_until(lambda: index_of(field, "letters") == delayed, "all have run", 60)
    account = field.account(ready, "letters")
    fault.enter(account)
    assert all_once(account, ready)
    assert not set(account.starts) & delayed
