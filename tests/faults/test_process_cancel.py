"""Jobs that are cancelled, wherever they are: within a second, and they never start again."""

import time
from collections.abc import Callable, Sequence

import pytest

from jobq import JobHandle
from jobq.errors import JobCancelled
from tests.faults.conftest import Fault
from tests.faults.field import SYNC, Field
from tests.faults.hosts import SLACK, charged, start_host, started_in, wait_gone
from tests.scenario.ground import alive, kill
from tests.support.wait import wait_until

SLOW = pytest.mark.slow

#: Jobs that take long and can be interrupted, or cannot. The first one can be told to die in its
#: first attempt, so that the second one runs alone.
LONG = """
@app.job(retries=3, backoff=0.05, result_ttl="1h")
{kind}def long(dies=0):
    job = begin()
    if job.attempt <= dies:
        os._exit(1)
    try:
        for _ in range(3000):
            {sleep}(0.01)
    except BaseException as error:
        trace("inside", job.id, type(error).__name__)
        raise
    end(job)

@app.job(retries=3, backoff=0.05, result_ttl="1h")
{kind}def stubborn():
    job = begin()
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            {sleep}(0.05)
        except BaseException:
            trace("ignored", job.id)
    end(job)

@app.job(retries=3, backoff=60, result_ttl="1h")
{kind}def fails():
    begin()
    raise ValueError("once")

@app.job(result_ttl="1h", retries=0)
{kind}def beside(n, seconds=0.0):
    job = begin()
    {sleep}(seconds)
    end(job)
    return n
"""

#: What is raised inside.
RAISED = {"async": "CancelledError"}

KINDS = pytest.mark.parametrize("kind", ["inline", "threads", "async"])

#: Seconds that it may take until a job that was cancelled has ended.
SOON = 1.0 + SLACK


def write_long(field: Field, kind: str) -> Sequence[str]:
    """Write the jobs for a kind of worker; returns its options."""
    if kind == "async":
        field.write(SYNC, LONG.format(kind="async ", sleep="await asyncio.sleep"))
    else:
        field.write(SYNC, LONG.format(kind="", sleep="time.sleep"))
    return ("--threads", "4") if kind == "threads" else ()


def by_handle(_field: Field, job: JobHandle[object]) -> None:
    assert job.cancel()


def by_command(field: Field, job: JobHandle[object]) -> None:
    said = field.start("jobq", "job", "cancel", job.id).check(20)
    assert "Cancelled" in said


def cancelled_in(job: JobHandle[object], timeout: float = 10.0) -> float:
    """Wait for the end of a job that was cancelled; returns the seconds that it took."""
    began = time.monotonic()
    with pytest.raises(JobCancelled):
        job.result(timeout=timeout)
    return time.monotonic() - began


def count_up(field: Field, fault: Fault, cancelled: Sequence[str], others: Sequence[str]) -> None:
    """Fill in the book: what was cancelled did not end, what was not has."""
    account = field.account([*cancelled, *others])
    fault.lost = len(set(others) - account.succeeded)
    fault.duplicated = sum(account.starts[one] - 1 for one in others)
    assert account.succeeded == set(others)
    assert not account.live
    assert not account.dead
    totals = field.redis.hgetall("jobq:{default}:meta")
    assert int(totals.get(b"cancelled", 0)) == len(cancelled)
    assert field.succeeded() == len(others)
    assert field.redis.hlen("jobq:{default}:history") == 0


@pytest.mark.parametrize("cancel", [by_handle, by_command])
@pytest.mark.slow
@pytest.mark.fault("G1")
def test_a_waiting_job_is_cancelled(
    field: Field, fault: Fault, cancel: Callable[[Field, JobHandle[object]], None]
) -> None:
    write_long(field, "inline")
    ids = field.put("jobs.beside", [(n,) for n in range(10)])
    victim = field.app.handle(ids[5])
    cancel(field, victim)
    assert cancelled_in(victim) < SOON
    field.burst("--processes", "1")
    count_up(field, fault, [victim.id], [one for one in ids if one != victim.id])
    assert started_in(field, victim.id) == []


@pytest.mark.slow
@pytest.mark.fault("G1")
def test_a_retrying_job_is_cancelled(field: Field, fault: Fault) -> None:
    write_long(field, "inline")
    field.worker()
    job = field.send("jobs.fails")
    wait_until(lambda: job.status() == "retrying", "it waits for its second attempt")
    assert job.cancel()
    assert cancelled_in(job) < SOON
    more = field.put("jobs.beside", [(n,) for n in range(5)])
    field.wait_over()
    count_up(field, fault, [job.id], more)
    assert len(started_in(field, job.id)) == 1


@pytest.mark.parametrize(
    ("kind", "cancel"),
    [
        ("inline", by_command),
        *(
            pytest.param(kind, cancel, marks=SLOW)
            for kind in ("inline", "threads", "async", "isolated")
            for cancel in (by_handle, by_command)
            if (kind, cancel) != ("inline", by_command)
        ),
    ],
)
@pytest.mark.fault("G1", "G5")
def test_a_running_job_is_interrupted(
    field: Field, fault: Fault, kind: str, cancel: Callable[[Field, JobHandle[object]], None]
) -> None:
    """It hears of it, cleans up, and has no other attempt; its worker goes on."""
    host = start_host(field, "host", *write_long(field, kind), processes=1)
    isolated = kind == "isolated"
    job = field.send("jobs.long", int(isolated))
    field.wait_traced("start", 1 + isolated)
    pid = started_in(field, job.id)[-1]
    asked = time.monotonic()
    cancel(field, job)
    cancelled_in(job)
    fault.recovery = time.monotonic() - asked
    # Of which a command takes a part until it is there at all.
    assert fault.recovery < SOON + 4.0 * (cancel is by_command)
    more = field.put("jobs.beside", [(n,) for n in range(5)])
    field.wait_over()

    count_up(field, fault, [job.id], more)
    raised = RAISED.get(kind, "JobInterrupted")
    assert field.traced("inside") == [[job.id, raised]]
    assert len(started_in(field, job.id)) == 1 + isolated
    assert job.status() == "cancelled"
    assert isolated or alive(pid)
    assert charged(host.child) == int(isolated)


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G3")
def test_a_job_in_a_batch_behind_a_slow_one_is_cancelled(
    field: Field, fault: Fault, kind: str
) -> None:
    """Wherever it is: with a worker that has not started it, or back in the queue."""
    field.worker("--concurrency", "1", *write_long(field, kind))
    short = field.put("jobs.beside", [(n, 0.0005) for n in range(400)])
    slow = field.put("jobs.beside", [(400 + n, 0.7) for n in range(12 if kind == "threads" else 3)])
    behind = field.put("jobs.beside", [(500 + n, 0.0005) for n in range(50)])
    field.wait_traced("end", 300)
    wait_until(lambda: set(field.starts()) & set(slow), "a slow one runs")
    victims = [one for one in behind if not started_in(field, one)][::5]
    handles = [field.app.handle(one) for one in victims]
    taken = [handle for handle in handles if handle.cancel()]
    for handle in taken:
        cancelled_in(handle)
    field.wait_over()

    gone = {handle.id for handle in taken}
    every = [*short, *slow, *behind]
    began = field.account(every).starts
    # A few may have been on their way to their start: they have run, or were interrupted.
    assert len(gone) >= 5
    assert sum(began[one] for one in gone) <= 1
    count_up(field, fault, sorted(gone), [one for one in every if one not in gone])
    assert fault.duplicated == 0


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G5")
def test_a_job_that_ignores_its_cancel_is_killed(field: Field, fault: Fault, kind: str) -> None:
    """After the grace, and it ends as cancelled; those beside it start again uncharged."""
    host = start_host(field, "host", "--grace", "1", *write_long(field, kind), processes=1)
    (worker,) = host.workers
    job = field.send("jobs.stubborn")
    field.wait_traced("start")
    beside = field.put("jobs.beside", [(n, 1.5) for n in range(2)])
    if kind != "inline":
        field.wait_traced("start", 3)
    assert job.cancel()
    took = cancelled_in(job)
    fault.note(f"ended after {took:.1f} s")
    field.wait_over()

    count_up(field, fault, [job.id], beside)
    assert 0.9 <= took < 1.0 + SOON
    assert len(started_in(field, job.id)) == 1
    assert {rest[1] for rest in field.traced("start") if rest[0] in set(beside)} == {"1"}
    assert charged(host.child) == 0
    assert not alive(worker)
    assert kind == "async" or field.traced("ignored")


@pytest.mark.parametrize("who", ["worker", "host"])
@pytest.mark.slow
@pytest.mark.fault("G1", "G4")
def test_a_job_whose_cancel_was_asked_for_does_not_survive_a_crash(
    field: Field, fault: Fault, who: str
) -> None:
    """Its worker dies before it could end the job: whoever recovers it ends it as cancelled."""
    write_long(field, "inline")
    host = start_host(field, "host", "--lease", "1", processes=1)
    job = field.send("jobs.stubborn")
    field.wait_traced("start")
    assert job.cancel()
    if who == "worker":
        kill(host.workers[0])
    else:
        pids = host.pids
        host.child.kill_group()
        wait_gone(pids)
        field.worker("--lease", "1")
    fault.recovery = cancelled_in(job)
    more = field.put("jobs.beside", [(n,) for n in range(5)])
    field.wait_over()
    count_up(field, fault, [job.id], more)
    assert len(started_in(field, job.id)) == 1


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G7")
def test_a_job_is_cancelled_while_its_worker_stops(field: Field, fault: Fault, kind: str) -> None:
    """What keeps a worker from stopping can be ended, and then it stops."""
    host = start_host(field, "host", *write_long(field, kind), processes=1)
    job = field.send("jobs.long")
    field.wait_traced("start")
    host.child.terminate()
    host.child.wait_for_line("stopping: finishing 1 job")
    assert job.cancel()
    fault.recovery = cancelled_in(job)
    assert fault.recovery < SOON
    assert host.child.wait() == 0
    count_up(field, fault, [job.id], [])


@pytest.mark.slow
@pytest.mark.fault("G1")
def test_many_running_jobs_are_cancelled_at_once(field: Field, fault: Fault) -> None:
    many = 200
    field.worker("--concurrency", str(many), *write_long(field, "async"))
    ids = field.put("jobs.long", [()] * many)
    field.wait_traced("start", many)
    began = time.monotonic()
    handles = [field.app.handle(one) for one in ids]
    assert all(handle.cancel() for handle in handles)
    for handle in handles:
        cancelled_in(handle)
    fault.recovery = time.monotonic() - began
    more = field.put("jobs.beside", [(n,) for n in range(5)])
    field.wait_over()
    count_up(field, fault, ids, more)
    assert sorted(field.traced("inside")) == sorted([one, "CancelledError"] for one in ids)
    assert fault.recovery < 5.0


@KINDS
@pytest.mark.slow
@pytest.mark.fault("G1", "G6")
def test_a_cancel_that_races_with_the_end_hits_nobody_else(
    field: Field, fault: Fault, kind: str
) -> None:
    """Many short jobs, each cancelled at about its end: the others all come to theirs, once."""
    field.worker("--processes", "1", *write_long(field, kind))
    victims = []
    others: list[str] = []
    for n in range(60):
        job = field.send("jobs.beside", n, 0.02)
        others += field.put("jobs.work", [(n,), (n, 0.005)])
        wait_until(lambda: started_in(field, job.id), "it has started")  # noqa: B023
        job.cancel()
        victims.append(job)
    ended = {}
    for job in victims:
        try:
            ended[job.id] = job.result(timeout=10) is not None
        except JobCancelled:
            ended[job.id] = False
    field.wait_over()

    cancelled = [one for one, done in ended.items() if not done]
    others += [one for one, done in ended.items() if done]
    fault.note(f"{len(cancelled)} of {len(victims)} were cancelled")
    account = field.account([*ended, *others])
    fault.lost, fault.duplicated = len(account.lost - set(cancelled)), account.duplicated
    assert set(others) <= account.succeeded
    assert account.duplicated == 0
    totals = field.redis.hgetall("jobq:{default}:meta")
    assert int(totals.get(b"cancelled", 0)) == len(cancelled)
    assert field.succeeded() == len(others)
    assert field.dead() == []
    assert field.redis.hlen("jobq:{default}:cancels") == 0
