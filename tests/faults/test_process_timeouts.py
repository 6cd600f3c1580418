"""Jobs that run for too long: ended from inside, or with their process; a failure, not a crash."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from jobq.errors import JobFailed
from tests.faults.conftest import Fault
from tests.faults.field import SYNC, Field
from tests.faults.hosts import SLACK, charged, longest_wait, start_host, started_in, wait_gone
from tests.scenario.ground import alive, kill

SLOW = pytest.mark.slow

TIMEOUT = 0.3

#: Jobs that run for too long: until they are interrupted; whatever is raised in them; in C. Those
#: that are told a number of attempts behave in the one after.
LATE = """
def stick():
    mutex = ctypes.create_string_buffer(256)
    c = ctypes.PyDLL(None)  # keeps the GIL; and no signal ends this wait
    c.pthread_mutex_init(mutex, None)
    c.pthread_mutex_lock(mutex)
    c.pthread_mutex_lock(mutex)

def late_attempt(job, times):
    return job.attempt <= times

@app.job(timeout=0.3, retries=1, backoff=0.05, result_ttl="1h")
{kind}def late(times):
    job = begin()
    try:
        while late_attempt(job, times):
            {sleep}(0.01)
    except BaseException as error:
        trace("inside", job.id, type(error).__name__, time.monotonic())
        raise
    end(job)
    return times

@app.job(timeout=0.3, hard_timeout=0.8, retries=1, backoff=0.05, result_ttl="1h")
{kind}def stubborn(times):
    job = begin()
    while late_attempt(job, times):
        try:
            {sleep}(0.05)
        except BaseException:
            pass
    end(job)
    return times

@app.job(timeout=0.3, retries=1, backoff=0.05, result_ttl="1h")
{kind}def stubborn_by_default(times):
    job = begin()
    while late_attempt(job, times):
        try:
            {sleep}(0.05)
        except BaseException:
            pass
    end(job)
    return times

@app.job(timeout=0.3, hard_timeout=0.8, retries=1, backoff=0.05, result_ttl="1h")
{kind}def in_c(times):
    job = begin()
    if late_attempt(job, times):
        stick()
    end(job)
    return times

@app.job(result_ttl="1h", retries=0)
{kind}def beside(n, seconds):
    job = begin()
    {sleep}(seconds)
    end(job)
    return n
"""

KINDS = pytest.mark.parametrize("kind", ["inline", "threads", "async"])


def write_late(field: Field, kind: str) -> Sequence[str]:
    """Write the jobs for a kind of worker; returns its options."""
    if kind == "async":
        field.write(SYNC, LATE.format(kind="async ", sleep="await asyncio.sleep"))
    else:
        field.write(SYNC, LATE.format(kind="", sleep="time.sleep"))
    return ("--threads", "4") if kind == "threads" else ()


def check_letter(letter: dict[str, Any], attempts: int) -> None:
    """Check that every attempt was one that failed by its timeout."""
    assert letter["attempts"] == attempts
    assert letter["error"].rpartition(".")[2] == "JobTimedOut"
    assert [one["kind"] for one in letter["history"]] == ["timeout"] * attempts
    assert [one["attempt"] for one in letter["history"]] == list(range(1, attempts + 1))


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G8")
def test_a_timeout_is_raised_in_the_job(field: Field, fault: Fault, kind: str) -> None:
    """It can clean up, its policy says whether it is retried, and its worker goes on."""
    host = start_host(field, "host", *write_late(field, kind), processes=1)
    workers = host.workers
    once, always = (field.send("jobs.late", times) for times in (1, 9))
    more = field.put("jobs.work", [(n,) for n in range(20)])
    assert once.result(timeout=10) == 1
    with pytest.raises(JobFailed, match="JobTimedOut"):
        always.result(timeout=10)
    field.wait_over()

    account = field.account([once.id, always.id, *more])
    fault.lost = len(account.lost)
    fault.duplicated = sum(account.starts[one] - 1 for one in more)
    assert account.succeeded == {once.id, *more}
    assert (account.starts[once.id], account.starts[always.id]) == (2, 2)
    assert fault.duplicated == 0
    raised = "CancelledError" if kind == "async" else "JobTimedOut"
    inside = field.traced("inside")
    assert sorted(rest[:2] for rest in inside) == sorted(
        [[once.id, raised], [always.id, raised], [always.id, raised]]
    )
    took = float(next(rest[2] for rest in inside if rest[0] == once.id)) - field.started_at(once.id)
    assert TIMEOUT * 0.9 <= took <= TIMEOUT + SLACK
    (letter,) = field.dead()
    check_letter(letter, 2)
    assert host.workers == workers, "no process was killed"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("in_c", "inline"),
        *(
            pytest.param(name, kind, marks=SLOW)
            for name in ("in_c", "stubborn")
            for kind in ("inline", "threads", "async")
            if (name, kind) != ("in_c", "inline")
        ),
    ],
)
@pytest.mark.fault("G1", "G5", "G8")
def test_a_job_that_is_stuck_is_ended_with_its_process(
    field: Field, fault: Fault, name: str, kind: str
) -> None:
    """That is an attempt that failed; what ran beside it starts again as if nothing had been."""
    options = write_late(field, kind)
    host = start_host(field, "host", *options, processes=1)
    (first,) = host.workers
    ids = field.put("jobs.beside", [(n, 1.5) for n in range(2)]) if kind != "inline" else []
    field.wait_traced("start", len(ids)) if ids else None
    stuck = field.send(f"jobs.{name}", 1)
    field.wait_traced("start", len(ids) + 1)
    behind = field.put("jobs.work", [(n,) for n in range(20)])
    assert stuck.result(timeout=20) == 1
    field.wait_over()

    beside = [*ids, *behind]
    account = field.account([stuck.id, *beside])
    fault.lost = len(account.lost)
    fault.duplicated = sum(account.starts[one] - 1 for one in beside)
    fault.recovery = field.started_at(stuck.id, 2) - field.started_at(stuck.id) - 0.8
    assert account.succeeded == {stuck.id, *beside}
    assert account.starts[stuck.id] == 2
    assert all(account.ends[one] == 1 for one in (stuck.id, *beside))
    assert all(account.starts[one] <= 2 for one in ids)
    assert all(account.starts[one] == 1 for one in behind)
    assert -0.1 <= fault.recovery <= SLACK + 0.5
    # Whoever ran beside it has no retry: had it been charged, it would be a dead letter.
    attempts = {rest[1] for rest in field.traced("start") if rest[0] in set(beside)}
    assert attempts == {"1"}
    assert charged(host.child) == 0
    assert field.succeeded() == 1 + len(beside)
    assert not alive(first)
    assert "worker died" not in host.child.text


@pytest.mark.parametrize("name", ["in_c", "stubborn"])
@pytest.mark.slow
@pytest.mark.fault("G8")
def test_a_job_that_is_stuck_each_time_is_buried(field: Field, fault: Fault, name: str) -> None:
    """After its retries, which its policy counts: crashes do not come into it."""
    write_late(field, "inline")
    host = start_host(field, "host", processes=1)
    job = field.send(f"jobs.{name}", 9)
    with pytest.raises(JobFailed, match="JobTimedOut"):
        job.result(timeout=20)
    field.wait_over()

    account = field.account([job.id])
    fault.lost, fault.duplicated = len(account.lost), account.starts[job.id] - 2
    assert account.starts[job.id] == 2
    (letter,) = field.dead()
    check_letter(letter, 2)
    assert "SIGKILL" in str(letter)
    assert charged(host.child) == 0


@pytest.mark.slow
@pytest.mark.fault("G8")
def test_the_hard_timeout_is_the_timeout_and_the_grace(field: Field, fault: Fault) -> None:
    write_late(field, "inline")
    start_host(field, "host", "--grace", "1", processes=1)
    job = field.send("jobs.stubborn_by_default", 1)
    assert job.result(timeout=20) == 1
    account = field.account([job.id])
    fault.lost, fault.duplicated = len(account.lost), account.starts[job.id] - 2
    took = field.started_at(job.id, 2) - field.started_at(job.id)
    fault.note(f"killed after {took:.1f} s")
    assert TIMEOUT + 1.0 <= took <= TIMEOUT + 1.0 + SLACK + 0.5
    assert len(set(started_in(field, job.id))) == 2


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G4")
def test_a_stuck_job_of_an_orphan_is_ended_too(field: Field, fault: Fault, kind: str) -> None:
    """Its supervisor is dead and cannot kill it: it must not keep its lease for ever."""
    workers = run_stuck_orphan(field, fault, kind, "stubborn")
    wait_gone(workers, 10)


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G4")
def test_an_orphan_that_is_stuck_in_c_loses_its_job(field: Field, fault: Fault, kind: str) -> None:
    """No thread of it moves, so that it cannot even end itself: others take its job over."""
    run_stuck_orphan(field, fault, kind, "in_c")


def run_stuck_orphan(field: Field, fault: Fault, kind: str, name: str) -> list[int]:
    """Kill the supervisor of a job that is stuck, and let another host take it over."""
    options = ("--lease", "1", *write_late(field, kind))
    first = start_host(field, "first", *options, processes=1)
    workers = first.workers
    job = field.send(f"jobs.{name}", 1)
    field.wait_traced("start")
    kill(first.child.pid)
    at = time.monotonic()
    start_host(field, "second", *options, processes=1)
    assert job.result(timeout=15) == 1

    # That its host is gone uses up no attempt: it is stuck once more, under a supervisor.
    account = field.account([job.id])
    fault.lost, fault.duplicated = len(account.lost), account.starts[job.id] - 2
    fault.recovery = field.started_at(job.id, 2) - at
    assert account.starts[job.id] in {2, 3}
    assert field.succeeded() == 1
    assert fault.recovery <= 0.8 + 1.0 + longest_wait(1.0)
    return workers
