"""The line to Redis is cut, late, deaf in one direction or a black hole, at chosen commands."""

import asyncio
import random
import time
from importlib import import_module

import pytest

from jobq import JobQ
from jobq.errors import DuplicateJob, StoreUnavailable
from jobq.store import keys
from jobq.store.wire import Script
from tests.faults.conftest import Fault
from tests.faults.field import Field, jobs_of, said
from tests.scenario.ground import PATIENCE
from tests.support.meanwhile import meanwhile
from tests.support.proxy import Fault as Break
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

BREAKS = ("before", "after", "amid")
KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])


def sha(script: str) -> str:
    import_module("jobq.store.ops.settle")  # makes its scripts known
    names = {one.name: one.sha for one in Script.every}
    return names[script]


def arm(proxy: Proxy, how: str, word: str, skip: int = 0) -> Break:
    if how == "amid":
        return proxy.cut_amid_reply(word, skip)
    return {
        "before": proxy.cut_before_request,
        "after": proxy.cut_after_request,
        "lost": proxy.lose_reply,
    }[how](word, skip)


# ---------------------------------------------------------------------------- enqueue


@pytest.mark.fault("G1", "G2")
def test_one_call_is_one_job_however_the_line_breaks(
    field: Field, proxy: Proxy, fault: Fault
) -> None:
    """Cut before, after and amid the answer: `send` returns, and there is one job each time."""
    dice = random.Random(5)  # noqa: S311  the same in each run
    with JobQ(proxy.url) as app:
        ids = [app.send("jobs.work", -1).id]
        took = []
        for n in range(30):
            broken = arm(proxy, BREAKS[n % 3], "EVALSHA")
            if n % 5 == 0:  # the resend too
                arm(proxy, dice.choice(BREAKS), "EVAL")
            began = time.monotonic()
            ids.append(app.send("jobs.work", n).id)
            took.append(time.monotonic() - began)
            broken.wait()
    assert field.redis.xlen(keys.jobs("default")) == 31
    field.burst()
    account = field.account(ids)
    fault.enter(account)
    fault.recovery = max(took)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0


@pytest.mark.fault("G2")
@pytest.mark.parametrize("reached", ["yes", "no"])
def test_a_call_that_raised_can_be_made_again_with_its_id(
    field: Field, proxy: Proxy, fault: Fault, reached: str
) -> None:
    """`StoreUnavailable`: it may exist or not; the same `job_id` makes it one job all the same."""
    with JobQ(proxy.url) as app:
        app.options(job_id="first").send("jobs.work", -1)  # teaches Redis the script
        app.store.patience = 0.0
        first = arm(proxy, "after" if reached == "yes" else "before", "EVALSHA")
        again = arm(proxy, "before", "EVAL")
        with pytest.raises(StoreUnavailable):
            app.options(job_id="once").send("jobs.work", 1)
        first.wait()
        again.wait()
        if reached == "yes":
            with pytest.raises(DuplicateJob):
                app.options(job_id="once").send("jobs.work", 1)
        else:
            app.options(job_id="once").send("jobs.work", 1)
    field.burst()
    account = field.account(["once"])
    fault.enter(account)
    assert account.starts["once"] == 1


@pytest.mark.fault("G2")
async def test_async_calls_on_one_connection_that_is_cut(
    field: Field, proxy: Proxy, fault: Fault
) -> None:
    """300 calls share a connection: what was answered and what was not is told apart."""
    ids = []
    async with JobQ(proxy.url) as app:

        async def enqueue(n: int) -> None:
            ids.append((await app.asend("jobs.work", n)).id)

        await enqueue(-1)
        for how in BREAKS:
            broken = arm(proxy, how, "EVALSHA")
            await asyncio.gather(*(enqueue(n) for n in range(100)))
            assert broken.fired, how
    assert len(set(ids)) == 301
    assert field.left() == field.redis.xlen(keys.jobs("default")) == 301
    fault.lost, fault.duplicated = 0, 0


# ---------------------------------------------------------------------------- fetch


@pytest.mark.fault("G1", "G4", "G5")
@KINDS
@pytest.mark.parametrize(
    "how",
    [
        "after",
        pytest.param("amid", marks=pytest.mark.slow),
        pytest.param("lost", marks=pytest.mark.slow),
    ],
)
def test_deliveries_whose_answer_was_lost_are_found_and_run(
    field: Field, proxy: Proxy, fault: Fault, how: str, kind: str
) -> None:
    """Redis has given them to a worker that never saw them: the same worker finds them."""
    field.url = proxy.url
    field.write(jobs_of(kind))
    worker = field.worker()
    field.put("jobs.work", [(-1,)] * 300)
    field.wait_over()
    broken = arm(proxy, how, "XREADGROUP", 1)
    ids = field.put("jobs.work", [(n,) for n in range(300)])
    broken.wait()
    fired = time.monotonic()
    field.wait_over()
    account = field.account(ids)
    fault.enter(account)
    fault.recovery = max(0.0, max(field.started_at(job_id) for job_id in ids) - fired)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G4")
@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("deaf", ["client", "server"])
def test_a_line_that_is_half_closed(
    field: Field, proxy: Proxy, fault: Fault, deaf: str, kind: str
) -> None:
    """The server never hears that the worker hung up: it gives the next jobs to nobody.

    They are pending for a worker that lives and never saw them. With a lease of 2 s somebody must
    find them within lease + 2 scans.
    """
    field.url = proxy.url
    field.write(jobs_of(kind))
    field.worker("--lease", "2")
    first = field.put("jobs.work", [(-1,)])
    field.wait_over()
    reads = sum(words[0] == b"XREADGROUP" for words in proxy.commands)
    wait_until(
        lambda: sum(words[0] == b"XREADGROUP" for words in proxy.commands) > reads,
        "the worker waits for jobs",
    )
    assert proxy.half_close("client" if deaf == "client" else "server")
    ids = field.put("jobs.work", [(n,) for n in range(5)])
    broken = time.monotonic()
    field.wait_over()
    account = field.account(first + ids)
    fault.enter(account)
    fault.recovery = max(field.started_at(job_id) for job_id in ids) - broken
    assert account.succeeded == set(first + ids)
    assert account.duplicated == 0


@pytest.mark.fault("G1", "G4")
@pytest.mark.slow
@KINDS
def test_a_job_given_to_a_connection_that_is_gone(
    field: Field, proxy: Proxy, fault: Fault, kind: str
) -> None:
    """The worker has connected anew and looked, but its old read still waits in Redis.

    The next job goes to that one, first come, first served: it is pending for a worker that lives
    and never saw it, and no cut will tell. Within lease + 2 scans it must start.
    """
    field.url = proxy.url
    field.write(jobs_of(kind))
    field.worker("--lease", "2")
    first = field.put("jobs.work", [(-1,)])
    field.wait_over()

    def reads() -> int:
        return sum(words[0] == b"XREADGROUP" and b"BLOCK" in words for words in proxy.commands)

    ids, began = [], 0.0
    for _ in range(10):  # until a read that waits was met: it does so for a second at most
        seen = reads()
        wait_until(lambda: reads() > seen, "the worker waits for jobs")  # noqa: B023
        seen = reads()
        proxy.half_close("client")
        wait_until(lambda: reads() > seen, "it waits again")  # noqa: B023
        began = time.monotonic()
        ids += field.put("jobs.work", [(1,)])
        try:
            wait_until(lambda: field.starts()[ids[-1]], "it starts", 0.5)  # noqa: B023
        except AssertionError:
            break
    else:
        raise RuntimeError("no job was given to the old read")
    field.wait_over(timeout=10)
    account = field.account(first + ids)
    fault.enter(account)
    fault.recovery = field.started_at(ids[-1]) - began
    assert account.succeeded == set(first + ids)
    assert account.duplicated == 0
    assert fault.recovery < 2 + 2 * 2 / 3 + 1


# ---------------------------------------------------------------------------- settle

ENDS = {
    "settle": ("jobs.work", 1),
    "retry": ("jobs.fails_once", 2),
    "claim": ("jobs.fails_once", 2),
    "finish": ("jobs.fails_once", 2),
    "bury": ("jobs.dies", 1),
}


#: The one that is part of the fast suite.
SHORT = ("settle", "after")


@pytest.mark.fault("G1", "G6")
@pytest.mark.parametrize(
    ("script", "how"),
    [
        pytest.param(script, how, marks=[] if (script, how) == SHORT else [pytest.mark.slow])
        for script in ENDS
        for how in BREAKS
    ],
)
def test_the_line_is_cut_as_an_attempt_ends(
    field: Field, proxy: Proxy, fault: Fault, script: str, how: str
) -> None:
    """Each script that ends an attempt, or takes a later one, is sent again and works once."""
    name, starts = ENDS[script]
    field.url = proxy.url
    worker = field.worker()
    warm = field.put(name, [(-1,)])
    field.wait_over()
    broken = arm(proxy, how, sha(script))
    ids = field.put(name, [(n,) for n in range(20)])
    broken.wait()
    began = time.monotonic()
    field.wait_over()
    fault.recovery = time.monotonic() - began
    account = field.account(warm + ids)
    fault.enter(account)
    assert not account.lost
    assert {account.starts[job_id] for job_id in ids} == {starts}
    fault.duplicated = account.duplicated - (starts - 1) * 21  # those were asked for
    if script == "bury":
        assert account.dead == set(warm + ids)
    else:
        assert account.succeeded == set(warm + ids)
        assert field.succeeded() == 21
    assert "Traceback" not in worker.text


# ---------------------------------------------------------------------------- renew


@pytest.mark.fault("G3")
@pytest.mark.slow
@pytest.mark.parametrize("how", BREAKS)
def test_every_second_renewal_is_cut(field: Field, proxy: Proxy, fault: Fault, how: str) -> None:
    """A job of three leases runs once, though another supervisor watches for expired ones."""
    direct, field.url = field.url, proxy.url
    field.worker("--lease", "2", "--name", "holds")
    (job_id,) = field.put("jobs.work", [(1, 6.0)])
    field.wait_traced("start")
    field.url = direct
    field.worker("--lease", "2", "--name", "watches")
    cuts = 0
    while not field.traced("end"):
        broken = arm(proxy, how, sha("renew"), 1)
        wait_until(lambda b=broken: b.fired or field.traced("end"), "a renewal is cut", PATIENCE)  # type: ignore[misc]
        cuts += broken.fired
    field.wait_over()
    account = field.account([job_id])
    fault.enter(account)
    fault.note(f"{cuts} renewals cut")
    assert cuts >= 3
    assert account.starts[job_id] == 1


@pytest.mark.fault("G5", "G6")
@pytest.mark.slow
@KINDS
def test_a_partition_longer_than_the_lease(
    field: Field, proxy: Proxy, fault: Fault, kind: str
) -> None:
    """Others take the job over: one more start. What the first worker says later is refused."""
    direct, field.url = field.url, proxy.url
    field.write(jobs_of(kind))
    cut_off = field.worker("--lease", "2", "--name", "cut-off")
    ids = field.put("jobs.work", [(1, 8.0)])
    field.wait_traced("start")
    proxy.black_hole()
    began = time.monotonic()
    field.url = direct
    field.worker("--lease", "2", "--name", "healthy")
    field.wait_traced("start", 2)
    fault.recovery = field.started_at(ids[0], 2) - began
    field.wait_traced("end", 1)
    proxy.restore()
    field.wait_over()
    cut_off.wait_for_line("lost lease|found redis", 20)
    account = field.account(ids)
    fault.enter(account)
    assert account.starts[ids[0]] == 2
    assert field.succeeded() == 1
    assert fault.recovery < 2 + 2 * 2 / 3 + 3


# ---------------------------------------------------------------------------- everything


@pytest.mark.fault("G1", "G2", "G5")
@pytest.mark.slow
@KINDS
def test_the_line_is_cut_at_random_for_ten_seconds(
    field: Field, proxy: Proxy, fault: Fault, kind: str
) -> None:
    """2,000 jobs while all connections are cut every 50 to 200 ms, of producer and workers."""
    field.url = proxy.url
    field.write(jobs_of(kind))
    dice = random.Random(11)  # noqa: S311  the same in each run
    worker = field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.01) for n in range(1000)])
    began = time.monotonic()
    with JobQ(proxy.url) as app, meanwhile(proxy.cut, lambda: dice.uniform(0.05, 0.2)):
        ids += [app.send("jobs.work", n, 0.01).id for n in range(1000)]
        wait_until(lambda: time.monotonic() - began > 10, "ten seconds are over", 15)
    over = time.monotonic()
    field.wait_over()
    fault.recovery = time.monotonic() - over
    account = field.account(ids)
    fault.enter(account)
    fault.note(f"{len(ids)} jobs, {said(worker, 'found lost')} times lost deliveries were found")
    assert account.succeeded == set(ids)
    assert not account.dead
    assert len(account.starts) == len(ids)  # nothing was added twice either
    assert account.duplicated <= 20
    assert "Traceback" not in worker.text
    assert "worker died" not in worker.text


@pytest.mark.fault("G3", "G14")
@pytest.mark.slow
def test_every_answer_is_late(field: Field, proxy: Proxy, fault: Fault) -> None:
    """By 300 ms: slower, and nothing else."""
    field.url = proxy.url
    worker = field.worker(processes=2)
    proxy.delay(0.3)
    ids = field.put("jobs.work", [(n, 0.001) for n in range(300)])
    field.wait_over()
    proxy.delay(0.0)
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)
    assert account.duplicated == 0
    assert said(worker, "lost redis") == 0
