"""Each tick of a schedule makes one job, whoever is killed or cut off, and if the clock jumps."""

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from jobq.client.schedule_rows import TickRow
from jobq.store.ops.inspect import count
from tests.conftest import StartServer
from tests.faults.conftest import Fault, MakeField
from tests.faults.field import SYNC, Field, said, wait_seconds
from tests.scenario.ground import PATIENCE, alive, children
from tests.support.clock import Clock
from tests.support.process import Child
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

TICKING = """
@app.job(every="1s", {options})
def tick():
    end(begin())
"""
ALL = 'misfire="all", misfire_max=1000'
NAME = "jobs.tick"


def declare(field: Field, options: str = ALL) -> None:
    field.write(SYNC, TICKING.format(options=options))


def is_declared(field: Field) -> bool:
    return bool(field.app.schedules.list())


def past(field: Field) -> list[TickRow]:
    """Return the ticks so far, the oldest first: those of which a job was made, or nothing."""
    return list(reversed(field.app.schedules.get(NAME).past))


def jobs_of(ticks: list[TickRow]) -> list[TickRow]:
    return [one for one in ticks if one.job_id]


def seconds_of(ticks: list[TickRow]) -> list[int]:
    """Return the nominal times of ticks, in seconds."""
    return [round(one.nominal_at.timestamp()) for one in ticks if one.nominal_at]


def stop(field: Field, fault: Fault) -> list[TickRow]:
    """Stop the schedule, let its jobs end, and see that each tick had one job, which ran once."""
    field.app.schedules.pause(NAME)
    field.wait_over(timeout=60)
    ticks = jobs_of(past(field))
    ids = [one.job_id for one in ticks]
    account = field.account(ids)
    fault.enter(account)
    fault.note(f"{len(ticks)} ticks")
    assert len(ids) < 100, "more than are kept: the books say nothing"
    assert len(set(seconds_of(ticks))) == len(ids) == len(set(ids))
    assert account.succeeded == set(ids)
    assert set(account.starts) == set(ids), "a job of no tick"
    assert field.app.store.run(count("default")).totals["succeeded"] == len(ids)
    return ticks


def without_gap(ticks: list[TickRow]) -> bool:
    return all(b - a == 1 for a, b in pairwise(seconds_of(ticks)))


def lateness(ticks: list[TickRow]) -> list[float]:
    """Return by how many seconds ticks fired after their time."""
    return [(one.fired_at - one.nominal_at).total_seconds() for one in ticks if one.nominal_at]


@pytest.mark.timeout(150)
@pytest.mark.fault("G11")
def test_three_supervisors_are_killed_for_a_minute(field: Field, fault: Fault) -> None:
    """No supervisor lives for longer than some seconds; each tick makes exactly one job."""
    declare(field)
    chance = random.Random(4)  # noqa: S311  whom, not a secret
    workers = [field.worker("--lease", "2") for _ in range(3)]
    wait_until(lambda: is_declared(field), "it is declared", PATIENCE)
    until = time.monotonic() + 60
    kills = 0
    while time.monotonic() < until:
        at = chance.randrange(3)
        os.kill(workers[at].pid, signal.SIGKILL)
        kills += 1
        wait_until(lambda: not alive(workers[at].pid), "it is dead")  # noqa: B023
        workers[at] = field.start("jobq", "worker", "--processes", "1", "--lease", "2")
        wait_seconds(chance.uniform(0.2, 1.5))
    ticks = stop(field, fault)
    fault.note(f"{kills} kills")
    assert kills > 15
    assert len(ticks) >= 55
    assert without_gap(ticks)
    assert fault.duplicated == 0


@pytest.mark.fault("G11", "G14")
def test_redis_is_killed_again_and_again(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """What was due meanwhile is made up when Redis is back with its AOF, and nothing twice."""
    # Not "everysec": while that syncs, which is at each full second, as these ticks are, Redis
    # writes nothing, and a kill loses what it has answered.
    field = make_field(start_server(appendonly=True))
    declare(field)
    workers = [field.worker() for _ in range(3)]  # longer leases than Redis is away (G5)
    fault.recovery = 0.0
    for down in (0.1, 0.5, 2.5, 0.3):
        seen = len(field.traced("end"))
        field.wait_traced("end", seen + 2)
        field.server.kill()
        wait_seconds(down)
        seen = len(field.traced("start"))
        field.server.start()
        began = time.monotonic()
        field.wait_traced("start", seen + 1)
        fault.recovery = max(fault.recovery, time.monotonic() - began)
    ticks = stop(field, fault)
    assert len(ticks) >= 8
    assert without_gap(ticks)
    assert fault.duplicated == 0
    assert all(worker.running for worker in workers)
    assert all("Traceback" not in worker.text for worker in workers)


@pytest.mark.fault("G11")
def test_supervisors_are_cut_off(field: Field, proxy: Proxy, fault: Fault) -> None:
    """Others tick on time; what comes late of those that were cut off changes nothing."""
    declare(field)
    env = {"JOBQ_REDIS_URL": proxy.url}
    for _ in range(2):
        field.start("jobq", "worker", "--processes", "1", "--lease", "2", env=env)
    alone = field.worker("--lease", "2")
    field.wait_traced("end", 2)
    wait_until(lambda: proxy.connections >= 4, "all are there", PATIENCE)
    for _ in range(3):
        proxy.black_hole()
        field.wait_traced("end", len(field.traced("end")) + 3)
        proxy.restore()
        field.wait_traced("end", len(field.traced("end")) + 1)
    # Now nobody is there but those who are cut off.
    alone.terminate()
    assert alone.wait(PATIENCE) == 0
    on_time = len(jobs_of(past(field)))
    proxy.refuse()
    wait_seconds(3)
    proxy.accept()
    began = time.monotonic()
    field.wait_traced("end", len(field.traced("end")) + 4)
    fault.recovery = time.monotonic() - began
    ticks = stop(field, fault)
    late = sorted(lateness(ticks[1:on_time]))
    fault.note(f"median {late[len(late) // 2]:.3f} s late while two of three are cut off")
    assert without_gap(ticks)
    assert fault.duplicated == 0
    assert late[0] >= 0, "never early"
    assert late[len(late) // 2] < 0.2


@pytest.mark.fault("G11", "G14")
def test_redis_is_full_for_seconds(
    start_server: StartServer, make_field: MakeField, fault: Fault
) -> None:
    """A tick adds a job, so it is refused as a call is; it is made up afterwards."""
    field = make_field(start_server())
    declare(field)
    workers = [field.worker(), field.worker()]
    field.wait_traced("end", 2)
    field.redis.config_set("maxmemory", "1")
    wait_seconds(1)
    seen = len(jobs_of(past(field)))
    wait_seconds(3)
    assert len(jobs_of(past(field))) == seen, "none is made"
    field.redis.config_set("maxmemory", "0")
    began = time.monotonic()
    field.wait_traced("end", seen + 3)
    fault.recovery = time.monotonic() - began
    field.wait_traced("end", seen + 5)
    told = sum(said(worker, "refused by redis") for worker in workers)
    ticks = stop(field, fault)
    fault.note(f"{told} lines of two supervisors")
    assert without_gap(ticks)
    assert fault.duplicated == 0
    assert told <= 8
    assert fault.recovery < 3


@pytest.mark.fault("G11", "G13")
def test_the_clock_of_redis_jumps(clock: tuple[Clock, Field], fault: Fault) -> None:
    """Forward: one job stands for what was left out. Back: none until the clock is there again."""
    moved, field = clock
    declare(field, 'misfire="once"')
    for _ in range(2):
        field.worker("--lease", "2")
    field.wait_traced("end", 2)
    moved.move(3600)
    seen = len(field.traced("end"))
    field.wait_traced("end", seen + 3)
    (missed,) = [one for one in past(field) if one.outcome == "missed" and one.many > 10]
    moved.move(0)
    moved.wait(0)
    wait_seconds(0.5)
    seen = len(field.traced("end"))
    wait_seconds(3)
    assert len(field.traced("end")) == seen, "its ticks have been"
    moved.move(3600)
    field.wait_traced("end", seen + 3)
    ticks = stop(field, fault)
    seconds = seconds_of(ticks)
    fault.note(f"+1 h: one job, {missed.many} ticks missed; back: silent")
    assert 3590 <= missed.many <= 3600
    assert seconds == sorted(set(seconds)), "no tick twice"
    assert fault.duplicated == 0


@pytest.mark.fault("G11")
@pytest.mark.parametrize("end", [Child.kill, Child.kill_group], ids=["supervisor", "host"])
def test_jobs_of_one_tick_after_the_other_stay_in_line(
    field: Field, fault: Fault, end: Callable[[Child], None]
) -> None:
    """overlap="queue": never two at once, though the host that runs one of them is killed."""
    slow = """
@app.job(every="1s", overlap="queue", retries=3)
def tick():
    job = begin()
    time.sleep(1.3)
    end(job)
"""
    field.write(SYNC, slow)
    workers = [field.worker("--lease", "2") for _ in range(3)]
    for _ in range(2):
        field.wait_traced("start", len(field.traced("start")) + 1)
        pid = int(field.traced("start")[-1][2])
        holder = next(one for one in workers if pid in children(one.pid))
        end(holder)
        workers.remove(holder)
        workers.append(field.worker("--lease", "2"))
    field.wait_traced("end", len(field.traced("end")) + 2)
    field.app.schedules.pause(NAME)
    field.wait_over(timeout=60)
    ids = [one.job_id for one in jobs_of(past(field))]
    account = field.account(ids)
    fault.enter(account)
    began = [field.started_at(job_id) for job_id in ids]
    ended = {rest[0]: float(rest[2]) for rest in field.traced("end")}
    assert account.succeeded == set(ids)
    assert account.duplicated <= (0 if end is Child.kill else 2)
    assert began == sorted(began)
    assert all(ended[one] <= field.started_at(other) for one, other in pairwise(ids))
