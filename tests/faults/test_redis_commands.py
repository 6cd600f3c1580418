"""An operator, or another program, does to Redis what nobody should: jobq goes on."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from jobq.errors import StoreError
from jobq.store import keys
from tests.faults.conftest import Fault
from tests.faults.field import Field, jobs_of, said, wait_seconds
from tests.scenario.ground import PATIENCE
from tests.support.meanwhile import meanwhile
from tests.support.wait import wait_until

BOTH = pytest.mark.parametrize("kind", ["sync", "async"])
KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
MANY = 2000
QUEUE = "default"


def destroy_groups(redis: Redis) -> None:
    for stream in (keys.jobs(QUEUE), keys.retries(QUEUE)):
        try:
            redis.xgroup_destroy(stream, "jobq")
        except ResponseError:  # the stream is not there yet
            continue


def kill_clients(field: Field) -> None:
    for client in field.redis.client_list():
        if client["name"] == "jobq":
            field.redis.client_kill_filter(_id=client["id"])


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
@BOTH
def test_scripts_are_flushed_in_a_loop(field: Field, fault: Fault, kind: str) -> None:
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    worker = field.worker(processes=2)
    with meanwhile(field.redis.script_flush, lambda: 0.01):
        field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert "refused" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
@BOTH
def test_all_connections_are_killed_in_a_loop(field: Field, fault: Fault, kind: str) -> None:
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    worker = field.worker(processes=2)
    with meanwhile(lambda: kill_clients(field), lambda: 0.1):
        field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


# ---------------------------------------------------------------------------- groups


@pytest.mark.fault("G1", "G5", "G14")
@KINDS
def test_the_groups_are_destroyed_under_load(field: Field, fault: Fault, kind: str) -> None:
    """They are made anew at once, and what has finished is not run again."""
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(50)])
    worker = field.worker(processes=2)
    field.wait_traced("end", MANY // 10)
    settled = set(ids) - field.account(ids).live
    destroy_groups(field.redis)
    began = time.monotonic()
    wait_until(lambda: field.redis.xinfo_groups(keys.jobs(QUEUE)), "the group is back")
    fault.recovery = time.monotonic() - began
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    again = sum(account.starts[job_id] > 1 for job_id in settled)
    twice = sum(count > 2 for count in account.starts.values())
    fault.duplicated = account.duplicated - 50  # the retries that were asked for
    fault.note(f"{len(settled)} had finished: {again} of them run again")
    assert account.succeeded == set(ids)
    assert not again
    assert twice <= 50
    assert fault.duplicated <= 2 * 512  # what the workers held
    assert fault.recovery < 2
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@KINDS
def test_the_groups_are_destroyed_again_and_again(field: Field, fault: Fault, kind: str) -> None:
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.001) for n in range(MANY)])
    worker = field.worker(processes=2)
    field.wait_traced("end", 10)
    began = time.monotonic()
    with meanwhile(lambda: destroy_groups(field.redis), lambda: 0.2):
        wait_until(
            lambda: not field.left() or time.monotonic() - began > 8, "for some seconds", PATIENCE
        )
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G14")
@pytest.mark.slow
@BOTH
def test_everything_is_flushed_in_a_loop(field: Field, fault: Fault, kind: str) -> None:
    """What waited is gone, as it must be; what comes afterwards is done at once."""
    field.write(jobs_of(kind))
    worker = field.worker(processes=2)
    for _ in range(5):
        field.put("jobs.work", [(n, 0.001) for n in range(500)])
        seen = len(field.traced("end"))
        wait_until(lambda: len(field.traced("end")) > seen + 20, "some have run", PATIENCE)  # noqa: B023
        field.redis.flushall()
    began = time.monotonic()
    ids = field.put("jobs.work", [(n,) for n in range(100)])
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert fault.recovery < 5
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


# ---------------------------------------------------------------------------- keys

#: The keys of a queue, and those of all.
KEYS: dict[str, Callable[[], str]] = {
    "jobs": lambda: keys.jobs(QUEUE),
    "retries": lambda: keys.retries(QUEUE),
    "due": lambda: keys.due(QUEUE),
    "index": lambda: keys.index(QUEUE),
    "history": lambda: keys.history(QUEUE),
    "meta": lambda: keys.meta(QUEUE),
    "lanes": lambda: keys.lanes(QUEUE),
    "queues": lambda: keys.QUEUES,
    "workers": lambda: keys.WORKERS,
}


@pytest.mark.fault("G14")
@pytest.mark.slow
@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_deleted_under_load(field: Field, fault: Fault, name: str) -> None:
    """Who deletes a stream loses what was in it; all else goes on, and new jobs are done."""
    ids = field.put("jobs.work", [(n, 0.001) for n in range(500)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(50)])
    worker = field.worker(processes=2)
    field.wait_traced("end", 50)
    field.redis.delete(KEYS[name]())
    began = time.monotonic()
    after = field.put("jobs.work", [(n,) for n in range(100)])
    wait_until(lambda: set(after) <= set(field.ends()), "new jobs are done", PATIENCE)
    fault.recovery = max(field.started_at(job_id) for job_id in after) - began
    if name not in {"jobs", "retries"}:
        wait_until(lambda: set(ids) <= set(field.ends()), "all others too", PATIENCE)
    account = field.account(after)
    fault.enter(account)
    missing = len(set(ids) - set(field.ends()))
    if missing:
        fault.note(f"{missing} of {len(ids)} that were in the deleted stream are gone")
    assert account.succeeded == set(after)
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G10")
@pytest.mark.slow
def test_the_times_of_retries_are_deleted(field: Field, fault: Fault) -> None:
    """Nobody knows when they were due: they run soon, and none is forgotten."""
    later = """
@app.job(backoff=5, retries=2)
def later(n):
    job = begin()
    if job.attempt == 1:
        raise ValueError("once")
    end(job)
"""
    field.write(jobs_of("sync"), later)
    field.worker("--lease", "2")
    ids = field.put("jobs.later", [(n,) for n in range(10)])
    wait_until(lambda: field.redis.zcard(keys.due(QUEUE)) == 10, "they wait", PATIENCE)
    field.redis.delete(keys.due(QUEUE))
    began = time.monotonic()
    field.wait_over(timeout=15)
    fault.recovery = time.monotonic() - began
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 10  # the retries that were asked for
    assert account.succeeded == set(ids)


@contextmanager
def taken_away(redis: Redis, key: str) -> Iterator[None]:
    """Put a text where the key was, and the key back afterwards."""
    with redis.pipeline(transaction=True) as pipe:
        if redis.exists(key):
            pipe.rename(key, f"{key}.kept")
        pipe.set(key, "nothing that jobq knows")
        pipe.execute()
    yield
    with redis.pipeline(transaction=True) as pipe:
        pipe.delete(key)
        if redis.exists(f"{key}.kept"):
            pipe.rename(f"{key}.kept", key)
        pipe.execute()


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "jobs",
        "retries",
        "due",
        "index",
        "history",
        "meta",
    ],
)
def test_a_key_is_replaced_by_a_text(field: Field, fault: Fault, name: str) -> None:
    """WRONGTYPE is said by name, once; when the operator has repaired it, nothing is lost."""
    ids = field.put("jobs.work", [(n, 0.005) for n in range(300)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(50)])
    worker = field.worker(processes=2)
    field.wait_traced("start", 100)
    with taken_away(field.redis, KEYS[name]()):
        worker.wait_for_line("WRONGTYPE", 15)
        if name in {"jobs", "index"}:
            with pytest.raises(StoreError, match="WRONGTYPE"):
                field.send("jobs.work", -1)
        wait_seconds(3)
        told = sum("warning" in line or "error" in line for line in worker.err)
        told -= said(worker, "failed job=")
    began = time.monotonic()
    ids += field.put("jobs.work", [(n,) for n in range(10)])
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 50  # the retries that were asked for
    fault.note(f"{told} lines about it in 3 s")
    assert not account.lost
    assert account.succeeded == set(ids)
    assert told <= 9  # of three processes
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@KINDS
def test_the_stream_is_renamed_and_named_back(field: Field, fault: Fault, kind: str) -> None:
    """While it is away, new jobs run on a new one; when it is back, its jobs run."""
    field.write(jobs_of(kind))
    ids = field.put("jobs.work", [(n, 0.005) for n in range(500)])
    worker = field.worker("--lease", "2", processes=2)
    field.wait_traced("end", 50)
    field.redis.rename(keys.jobs(QUEUE), "kept")
    meantime = field.put("jobs.work", [(n,) for n in range(50)])
    # Settled too: what is on its way when the new stream is overwritten stays in the index.
    wait_until(
        lambda: not set(meantime) & field.account(meantime).live, "they run on a new one", PATIENCE
    )
    field.redis.rename("kept", keys.jobs(QUEUE))
    began = time.monotonic()
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(ids + meantime)
    fault.enter(account)
    assert account.succeeded == {*ids, *meantime}
    assert account.duplicated <= 2 * 512
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G5", "G14")
@pytest.mark.slow
@KINDS
def test_everything_at_once_at_random(field: Field, fault: Fault, kind: str) -> None:
    """Scripts flushed, connections killed, groups destroyed, for ten seconds."""
    field.write(jobs_of(kind))
    dice = random.Random(13)  # noqa: S311  the same in each run
    ids = field.put("jobs.work", [(n, 0.01) for n in range(MANY)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(100)])
    worker = field.worker(processes=2)
    field.wait_traced("end", 1)
    faults: list[Callable[[], object]] = [
        field.redis.script_flush,
        lambda: kill_clients(field),
        lambda: destroy_groups(field.redis),
    ]

    def strike() -> None:
        dice.choice(faults)()

    with meanwhile(strike, lambda: dice.uniform(0.05, 0.3)):
        began = time.monotonic()
        wait_until(
            lambda: not field.left() or time.monotonic() - began > 10, "for ten seconds", PATIENCE
        )
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.duplicated = account.duplicated - 100  # the retries that were asked for
    assert account.succeeded == set(ids)
    assert not account.dead
    assert said(worker, "worker died") == 0
    assert "Traceback" not in worker.text
