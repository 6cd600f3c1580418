"""Strangers write garbage into every key of jobq: it is buried or passed over, jobs go on."""

import random
import time
from collections.abc import Callable

import pytest

from jobq.core.lines import line_of
from jobq.errors import StoreError
from jobq.store import keys
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import Field, jobs_of, said
from tests.scenario.ground import PATIENCE
from tests.support.garbage import UNREADABLE, call
from tests.support.meanwhile import meanwhile
from tests.support.wait import wait_until

KINDS = pytest.mark.parametrize("kind", ["sync", pytest.param("async", marks=pytest.mark.slow)])
QUEUE = "default"
DICE = random.Random(17)  # noqa: S311  the same in each run

#: The greatest id that an entry can have: nothing can be added after it.
GREATEST = f"{2**64 - 1}-{2**64 - 1}"


def noise() -> bytes:
    return DICE.choice(
        [
            b"",
            DICE.randbytes(DICE.randint(1, 30)),
            b"j1-1",
            b"r0-0",
            b"x" * 5000,
            b"\x1b[31m\n",
            b"-1",
            b"1e400",
            b"s" + str(DICE.randint(0, 10**13)).encode() + b"-0",
            call("jobs.work", 1),
        ]
    )


def stream_noise(key: str) -> Callable[[Field], object]:
    return lambda field: field.server.cli(
        "XADD", key, "*", *(noise() for _ in range(2 * DICE.randint(1, 3)))
    )


def hash_noise(key: str) -> Callable[[Field], object]:
    return lambda field: field.server.cli("HSET", key, noise() + b"!", noise())


def score() -> str:
    return DICE.choice(["-inf", "+inf", "-1", "0", "1.5", "1e300", str(time.time_ns() // 10**6)])


def sorted_noise(key: str) -> Callable[[Field], object]:
    return lambda field: field.server.cli("ZADD", key, score(), noise())


NOISE: dict[str, Callable[[Field], object]] = {
    "jobs": stream_noise(keys.jobs(QUEUE)),
    "high": stream_noise(keys.jobs(line_of(QUEUE, "high"))),
    "low": stream_noise(keys.jobs(line_of(QUEUE, "low"))),
    "retries": stream_noise(keys.retries(QUEUE)),
    "dead": stream_noise(keys.dead(QUEUE)),
    "due": sorted_noise(keys.due(QUEUE)),
    "lanes": sorted_noise(keys.lanes(QUEUE)),
    "index": hash_noise(keys.index(QUEUE)),
    "history": hash_noise(keys.history(QUEUE)),
    "meta": hash_noise(keys.meta(QUEUE)),
    "cancels": hash_noise(keys.cancels(QUEUE)),
    "schedules": hash_noise(keys.schedules(QUEUE)),
    "ticks": sorted_noise(keys.ticks(QUEUE)),
    "workers": hash_noise(keys.WORKERS),
    "control": stream_noise(keys.CONTROL),
    "queues": lambda field: field.server.cli("SADD", keys.QUEUES, noise()),
}


def check_healthy(field: Field, fault: Fault, ids: list[str]) -> None:
    """Check that the healthy jobs are done, each as often as it was asked for."""
    wait_until(lambda: set(ids) <= set(field.ends()), "all healthy jobs are done", PATIENCE)
    account = field.account(ids)
    fault.enter(account)
    assert account.succeeded == set(ids)


@pytest.mark.fault("G1", "G8", "G14")
@KINDS
def test_calls_that_nobody_can_read_among_healthy_ones(
    field: Field, fault: Fault, kind: str
) -> None:
    """Each piece is buried, once; the healthy jobs around it run once."""
    field.write(jobs_of(kind), "@app.job\ndef short(n): pass\n")  # its name is in some of them
    worker = field.worker(processes=2)
    ids = []
    for fields in UNREADABLE.values():
        ids += field.put("jobs.work", [(n,) for n in range(20)])
        field.server.cli("XADD", keys.jobs(QUEUE), "*", *fields)
    check_healthy(field, fault, ids)
    wait_until(lambda: field.redis.xlen(keys.dead(QUEUE)) == len(UNREADABLE), "all of it is buried")
    fault.note(f"{len(UNREADABLE)} buried")
    assert fault.duplicated == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text
    assert "\x1b" not in worker.text


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@pytest.mark.parametrize("name", NOISE)
def test_noise_in_one_key(field: Field, fault: Fault, name: str) -> None:
    """While jobs run, and fail once: 200 pieces of noise at random, of the key's own type."""
    worker = field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.001) for n in range(300)])
    failing = field.put("jobs.fails_once", [(n,) for n in range(50)])
    for _ in range(200):
        NOISE[name](field)
    ids += field.put("jobs.work", [(n,) for n in range(50)])
    began = time.monotonic()
    check_healthy(field, fault, ids + failing)
    fault.recovery = time.monotonic() - began
    fault.duplicated = (fault.duplicated or 0) - 50  # the retries that were asked for
    assert fault.duplicated == 0
    for words in (["queues"], ["workers"], ["dlq", "list", "--limit", "500"]):
        field.start("jobq", *words, "--json").check(PATIENCE)
    worker.terminate()
    assert worker.wait(20) == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text
    assert "\x1b" not in worker.text


@pytest.mark.fault("G1", "G14")
@KINDS
def test_noise_everywhere_at_once(field: Field, fault: Fault, kind: str) -> None:
    field.write(jobs_of(kind))
    worker = field.worker(processes=2)
    ids = field.put("jobs.work", [(n, 0.001) for n in range(500)])
    with meanwhile(lambda: DICE.choice(list(NOISE.values()))(field), lambda: 0.005):
        ids += field.put("jobs.fails_once", [(n,) for n in range(50)])
        ids += [field.send("jobs.work", n).id for n in range(200)]
        check_healthy(field, fault, ids)
    fault.duplicated = (fault.duplicated or 0) - 50  # the retries that were asked for
    assert fault.duplicated == 0
    assert "worker died" not in worker.text
    assert "Traceback" not in worker.text


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@pytest.mark.parametrize("counter", ["succeeded", "retried", "dead", "cancelled"])
def test_a_counter_that_is_no_number(field: Field, fault: Fault, counter: str) -> None:
    """Jobs end all the same: a count is worth less than a job."""
    worker = field.worker()
    field.redis.hset(keys.meta(QUEUE), counter, "many")
    ids = field.put("jobs.work", [(n,) for n in range(20)])
    failing = field.put("jobs.fails_once", [(n,) for n in range(5)])
    dying = field.put("jobs.dies", [(n,) for n in range(5)])
    field.wait_over(timeout=10)
    account = field.account(ids + failing + dying)
    fault.enter(account)
    fault.duplicated = account.duplicated - 5  # the retries that were asked for
    assert account.succeeded == {*ids, *failing}
    assert account.dead == set(dying)
    assert fault.duplicated == 0
    fault.note(f"{said(worker, 'kept outcomes')} lines about it")


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
def test_the_index_of_a_live_job_is_overwritten(field: Field, fault: Fault) -> None:
    """It says where a job is, for looks and cancels; the job itself runs all the same."""
    ids = field.put("jobs.work", [(n,) for n in range(20)])
    for job_id in ids[::2]:
        field.redis.hset(keys.index(QUEUE), job_id, noise() or b"?")
    field.worker()
    check_healthy(field, fault, ids)
    assert fault.duplicated == 0


# ---------------------------------------------------------------------------- the greatest id


def in_jobs(field: Field) -> int:
    """Count the jobs that are in, or wait for, their first attempt."""
    return sum(where[:1] == b"j" for where in field.server.cli("HVALS", keys.index(QUEUE)))


@pytest.mark.fault("G1", "G14")
@pytest.mark.slow
@pytest.mark.parametrize("stream", ["jobs", "retries", "dead"])
def test_an_entry_with_the_greatest_id(
    start_server: StartServer, make_field: MakeField, fault: Fault, stream: str
) -> None:
    """Nothing can be added to that stream: those who want to are told why, and nothing is lost.

    The cure: let workers empty the stream, which they do, and delete it.
    """
    key = {"jobs": keys.jobs, "retries": keys.retries, "dead": keys.dead}[stream](QUEUE)
    field = make_field(start_server())
    worker = field.worker()
    ids = field.put("jobs.work", [(n, 0.05) for n in range(20)])
    ids += field.put("jobs.fails_once", [(n,) for n in range(3)])
    dying = field.put("jobs.dies", [(n,) for n in range(3)])
    field.server.cli("XADD", key, GREATEST, "a", "b")
    if stream == "jobs":
        with pytest.raises(StoreError, match=r"last possible ID|exhausted"):
            field.send("jobs.work", 1)
    else:
        worker.wait_for_line("last possible ID|exhausted", 20)
    wait_until(lambda: set(ids[:20]) <= set(field.ends()), "others are done", PATIENCE)
    if stream == "jobs":
        wait_until(lambda: not in_jobs(field), "the stream is empty", PATIENCE)
    began = time.monotonic()
    field.redis.delete(key)
    ids.append(field.send("jobs.work", 1).id)
    field.wait_over(timeout=15)
    fault.recovery = time.monotonic() - began
    account = field.account(ids + dying)
    fault.enter(account)
    fault.duplicated = account.duplicated - 3  # the retries that were asked for
    assert account.succeeded == set(ids)
    assert not account.lost
    assert "worker died" not in worker.text
