"""Delayed jobs and retries start when they are due, whoever is killed while they are promoted."""

import os
import signal
import time
from collections.abc import Sequence

import pytest

from jobq.store import keys
from jobq.store.ops import upkeep
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import SYNC, Field, jobs_of, said, wait_seconds
from tests.faults.hosts import all_once, start_hosts, wait_idle
from tests.scenario.ground import PATIENCE
from tests.support.clock import Clock
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow
KINDS = pytest.mark.parametrize("kind", ["sync", "async"])

#: Jobs that say when they start, in seconds since 1970.
TIMED = """
@app.job(retries=3)
{kind}def at(n):
    job = begin()
    trace("at", job.id, time.time())
    end(job)

@app.job(retries=3)
{kind}def again(n):
    job = begin()
    trace("at", job.id, time.time())
    if job.attempt == 1:
        raise Retry(after=0.3)
    end(job)
"""
QUEUE = "default"
LINES = ("default", "default high", "default low")


def timed(kind: str = "sync") -> tuple[str, str]:
    return jobs_of(kind), TIMED.format(kind="" if kind == "sync" else "async ")


def now_ms(field: Field) -> int:
    """Return Redis time."""
    return field.app.store.run(upkeep.time_ms())


def starts_at(field: Field, job_id: str) -> list[float]:
    return [float(at) for one, at in field.traced("at") if one == job_id]


def delay(
    field: Field, many: int, first_ms: int, step_ms: int, lines: Sequence[str] = LINES
) -> dict[str, int]:
    """Enqueue jobs for moments one after the other; returns when each is due, in ms."""
    due: dict[str, int] = {}
    for n in range(many):
        at = first_ms + n // len(lines) * step_ms
        (job_id,) = field.put("jobs.at", [(n,)], lines[n % len(lines)], due=(0, at))
        due[job_id] = at
    return due


def delay_batches(field: Field, batches: int, size: int, first_ms: int) -> dict[str, int]:
    """Enqueue batches of jobs, a tenth of a second from one to the next."""
    due: dict[str, int] = {}
    for n in range(batches):
        at = first_ms + n * 100
        line = LINES[n % len(LINES)]
        ids = field.put("jobs.at", [(one,) for one in range(size)], line, due=(0, at))
        due.update(dict.fromkeys(ids, at))
    return due


def lateness(field: Field, due: dict[str, int]) -> list[float]:
    """Return by how many seconds each job first started after it was due, in order."""
    first: dict[str, float] = {}
    for job_id, at in field.traced("at"):
        first.setdefault(job_id, float(at))
    return sorted(first[job_id] - at / 1000 for job_id, at in due.items() if job_id in first)


@pytest.mark.fault("G10")
@KINDS
def test_delayed_jobs_and_retries_are_on_time(field: Field, fault: Fault, kind: str) -> None:
    """Every worker is idle and blocked: never early, and soon."""
    field.write(*timed(kind))
    start_hosts(field, ["one", "two"])
    wait_idle(field, 4)
    due = delay(field, 60, now_ms(field) + 700, 100)
    again = [field.put("jobs.again", [(n,)])[0] for n in range(10)]
    field.wait_over()
    late = lateness(field, due)
    retried = [starts_at(field, job_id) for job_id in again]
    waited = sorted(second - first - 0.3 for first, second in retried)
    account = field.account([*due, *again])
    fault.enter(account)
    fault.duplicated = account.duplicated - len(again)  # the retries that were asked for
    fault.note(f"delayed {late[30]:.3f} s late, at most {late[-1]:.3f}")
    fault.note(f"retries {waited[5]:.3f} s, at most {waited[-1]:.3f}")
    assert late[0] >= 0, "never early"
    assert waited[0] >= 0, "never early"
    assert late[30] < 0.1
    assert waited[5] < 0.1
    assert account.succeeded == {*due, *again}
    assert fault.duplicated == 0


@pytest.mark.fault("G1", "G10")
@KINDS
def test_supervisors_are_killed_while_they_promote(field: Field, fault: Fault, kind: str) -> None:
    """6,000 jobs in twenty batches; of four supervisors one is left: each job once, none early."""
    field.write(*timed(kind))
    hosts = start_hosts(field, ["one", "two", "three", "four"], "--lease", "2", processes=1)
    wait_idle(field, 4)
    due = delay_batches(field, 20, 300, now_ms(field) + 3000)
    for number, host in enumerate(hosts[:3]):
        left = len(due) - 500 - 1200 * number
        wait_until(lambda: field.redis.hlen(keys.delayed(QUEUE)) <= left, "it goes on", PATIENCE)  # noqa: B023
        os.kill(host.child.pid, signal.SIGKILL)
    field.wait_over(timeout=60)
    late = lateness(field, due)
    account = field.account(due)
    fault.enter(account)
    fault.note(f"at most {late[-1]:.2f} s late")
    assert late[0] >= 0, "never early"
    assert all_once(account, due)
    assert len(account.starts) == len(due)


@pytest.mark.fault("G1", "G10", "G14")
def test_redis_is_killed_while_jobs_are_promoted(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """It comes back with its AOF: each job once, none early, those due meanwhile at once."""
    field = make_field(start_server(appendonly=True))
    field.write(*timed())
    workers = [field.worker("--lease", "2") for _ in range(2)]
    due = delay_batches(field, 20, 100, now_ms(field) + 1500)
    later = field.put("jobs.at", [(n,) for n in range(20)], due=(0, max(due.values()) + 3000))
    for left in (1500, 500):
        wait_until(
            lambda: field.redis.hlen(keys.delayed(QUEUE)) - len(later) <= left,  # noqa: B023
            "it goes on",
            PATIENCE,
        )
        field.server.kill()
        wait_seconds(0.3)
        field.server.start()
        seen, began = len(field.traces()), time.monotonic()
        wait_until(lambda: len(field.traces()) > seen, "jobs go on", PATIENCE)  # noqa: B023
        fault.recovery = max(fault.recovery or 0.0, time.monotonic() - began)
    field.wait_over()
    account = field.account([*due, *later])
    fault.enter(account)
    due.update(dict.fromkeys(later, max(due.values()) + 3000))
    assert lateness(field, due)[0] >= 0, "never early"
    assert account.succeeded == set(due)
    assert account.duplicated == 0
    assert all("Traceback" not in worker.text for worker in workers)


@pytest.mark.fault("G10", "G14")
@KINDS
def test_delayed_jobs_come_due_on_a_full_redis(
    start_server: StartServer, make_field: MakeField, fault: Fault, kind: str
) -> None:
    """What Redis has accepted starts, on time."""
    field = make_field(start_server())
    field.write(*timed(kind))
    field.worker(processes=2)
    wait_idle(field, 2)
    due = delay(field, 300, now_ms(field) + 1500, 10)
    field.redis.config_set("maxmemory", "1")
    field.wait_over()
    late = lateness(field, due)
    account = field.account(due)
    fault.enter(account)
    fault.note(f"median {late[150]:.3f} s late")
    assert late[0] >= 0, "never early"
    assert late[150] < 0.15
    assert all_once(account, due)


@pytest.mark.fault("G10", "G14")
def test_the_times_of_delayed_jobs_are_deleted(field: Field, fault: Fault) -> None:
    """Nobody knows when they were due: those run soon, the others when they are."""
    field.write(*timed())
    worker = field.worker("--lease", "2")
    due = delay(field, 200, now_ms(field) + 8000, 1)
    ids = list(due)
    untimed, timely = ids[:100], {job_id: due[job_id] for job_id in ids[100:]}
    field.redis.zrem(keys.due(QUEUE), *(f"d{job_id}" for job_id in untimed))
    began = time.monotonic()
    wait_until(lambda: set(untimed) <= set(field.ends()), "they run soon", 6)
    fault.recovery = time.monotonic() - began
    assert not set(timely) & set(field.starts())
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    assert lateness(field, timely)[0] >= 0, "never early"
    assert all_once(account, ids)
    assert "Traceback" not in worker.text


@pytest.mark.fault("G10", "G14")
def test_the_calls_of_delayed_jobs_are_deleted(field: Field, fault: Fault) -> None:
    """They are lost, as they must be; it is told when they are due, and keeps nobody from work."""
    field.write(*timed())
    worker = field.worker("--lease", "2")
    due = delay(field, 200, now_ms(field) + 2000, 1)
    gone, left = list(due)[:100], list(due)[100:]
    field.redis.hdel(keys.delayed(QUEUE), *gone)
    worker.wait_for_line("dropped delayed jobs without a call", PATIENCE)
    field.wait_over()
    account = field.account(left)
    fault.enter(account)
    fault.note(f"{len(field.account(gone).lost)} whose calls were deleted are gone")
    assert all_once(account, left)
    assert set(account.starts) == set(left)
    assert field.left() == 0, "nothing says any more that they were there"
    assert field.redis.zcard(keys.due(QUEUE)) == 0
    assert said(worker, "dropped delayed jobs without a call") <= 20


@pytest.mark.fault("G10", "G13")
def test_the_clock_of_redis_jumps(clock: tuple[Clock, Field], fault: Fault) -> None:
    """Delayed jobs are early, or late, by the step, and none is lost; new ones are on time."""
    moved, field = clock
    field.write(SYNC, TIMED.format(kind=""))
    field.worker(processes=2)
    wait_idle(field, 2)
    ids = field.put("jobs.at", [(n,) for n in range(50)], due=(20_000, 0))
    began = time.monotonic()
    wait_seconds(1)
    assert not field.starts()
    moved.move(17)
    field.wait_over()
    early = time.monotonic() - began
    moved.move(0)
    moved.wait(0)
    late = field.put("jobs.at", [(n,) for n in range(50)], due=(1000, 0))
    moved.move(-3600)
    moved.wait(-3600)
    new = field.put("jobs.at", [(n,) for n in range(50)], due=(1000, 0))
    wait_until(lambda: set(new) <= set(field.ends()), "new ones are on time", PATIENCE)
    wait_seconds(1)
    assert not set(late) & set(field.starts())
    moved.move(0)
    field.wait_over()
    account = field.account([*ids, *late, *new])
    fault.enter(account)
    fault.note(f"+17 s: after {early:.1f} s instead of 20")
    assert early < 20 - 17 + 3
    assert all_once(account, [*ids, *late, *new])
