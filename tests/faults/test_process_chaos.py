"""All faults of processes at once, in an order that chance gives: the books still balance."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise

import pytest

from jobq.store.ops.inspect import count as count_jobs
from tests.faults.conftest import Fault
from tests.faults.field import SYNC, Field
from tests.faults.hosts import Host, freeze, start_host, thaw
from tests.scenario.ground import alive
from tests.support.wait import wait_until

#: Jobs of all fates beside those that just run.
FATES = """
@app.job(backoff=0.05, retries=2, timeout=0.5, hard_timeout=1.0, max_crashes=20)
{kind}def stuck(n):
    job = begin()
    if job.attempt == 1:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                {sleep}(0.05)
            except BaseException:
                pass
    end(job)

@app.job(backoff=0.05, retries=3, max_crashes=20)
{kind}def crashes(n):
    job = begin()
    if job.attempt == 1:
        os._exit(1)
    end(job)

@app.job(backoff=0.05, retries=20, max_crashes=20)
{kind}def unsure(n):
    job = begin()
    if job.attempt < 3:
        raise ValueError("not yet")
    end(job)

@app.job(backoff=0.05, retries=20, max_crashes=20)
{kind}def plain(n, seconds):
    job = begin()
    {sleep}(seconds)
    end(job)
"""

#: Jobs of all kinds of time.
TIMES = """
@app.job(backoff=0.05, retries=20, max_crashes=20)
{kind}def sleepy(n):
    job = begin()
    if time.time() - job.enqueued_at.timestamp() < 1:
        raise Snooze(0.4)
    end(job)

@app.job(backoff=0.05, retries=20, max_crashes=20, every="1s", misfire="all", misfire_max=1000)
{kind}def tick():
    end(begin())
"""

#: Job functions that are paused.
PAUSED = ("jobs.plain", "jobs.unsure", "jobs.tick")
LINES = ("default", "default high", "default low")
LEASE = 1.0


class Chaos:
    """Hosts, and what can happen to them.

    Args:
        seed: of what happens when.
    """

    def __init__(self, field: Field, seed: int, *options: str) -> None:
        self._field = field
        self._options = ("--lease", str(LEASE), "--grace", "1", "--max-jobs", "200", *options)
        self._chance = random.Random(seed)  # noqa: S311  which fault, not a secret
        self._numbers = count(1)
        self.hosts = [self._fresh() for _ in range(3)]
        self.ids: list[str] = []
        self.plain: list[str] = []
        self.single: set[str] = set()
        self.replaceable: set[str] = set()
        self.expiring: set[str] = set()
        self.cancelled: list[str] = []
        self.told: list[str] = []

    @property
    def all(self) -> set[str]:
        """The ids of all jobs but those of the schedule."""
        return {*self.ids, *self.plain, *self.single, *self.replaceable, *self.expiring}

    def is_free(self) -> bool:
        """Tell whether nobody keeps the unique calls from becoming jobs any more."""
        once = self._field.app.options(unique="args")
        return all(once.send("jobs.plain", n, 0.02).id not in self.single for n in range(3))

    def happen(self) -> None:
        """Let one of the faults happen to one of the hosts."""
        deaths = (self.kill_worker, self.kill_supervisor, self.kill_host)
        others = (self.stop, self.hang_up, self.freeze_worker, self.freeze_host, self.cancel)
        pauses = (self.pause, self.pause_function)
        what: Callable[[Host], None] = self._chance.choice((*deaths, *others, *pauses))
        self.told.append(what.__name__)
        what(self._chance.choice(self.hosts))
        for host in list(self.hosts):
            if not host.child.running:
                self.hosts.remove(host)
                self.hosts.append(self._fresh())

    def kill_worker(self, host: Host) -> None:
        workers = host.workers
        if workers:
            os.kill(self._chance.choice(workers), signal.SIGKILL)

    def kill_supervisor(self, host: Host) -> None:
        host.child.kill()
        host.child.wait()

    def kill_host(self, host: Host) -> None:
        host.child.kill_group()
        host.child.wait()

    def stop(self, host: Host) -> None:
        host.child.terminate()
        host.child.wait(20)

    def hang_up(self, host: Host) -> None:
        host.child.signal(signal.SIGHUP)

    def freeze_worker(self, host: Host) -> None:
        self._freeze(host.workers[:1])

    def freeze_host(self, host: Host) -> None:
        self._freeze(host.pids)

    def cancel(self, _host: Host) -> None:
        live: list[bytes] = self._field.server.cli("HKEYS", "jobq:{default}:index")
        for raw in self._chance.sample(live, min(5, len(live))):
            handle = self._field.app.handle(raw.decode(), queue="default")
            if handle.cancel():
                self.cancelled.append(handle.id)

    def pause(self, _host: Host) -> None:
        self._field.app.queue("default").pause(for_=0.6)

    def pause_function(self, _host: Host) -> None:
        self._field.app.queue("default").pause(self._chance.choice(PAUSED), for_=0.6)

    def finish(self) -> None:
        """Stop all hosts."""
        for host in self.hosts:
            host.child.terminate()
        for host in self.hosts:
            host.child.wait(20)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Enqueue jobs of all fates meanwhile."""
        over = threading.Event()

        def flow() -> None:
            put = self._field.put
            while not over.wait(0.05):
                if self._field.left() - len(self.expiring) < 300:
                    for line in LINES:
                        calls = [(n, 0.01 * (n % 2)) for n in range(25)]
                        self.plain += put("jobs.plain", calls, line)
                        self.plain += put("jobs.plain", calls[:8], line, due=(300, 0))
                    self.ids += put("jobs.unsure", [(n,) for n in range(3)])
                    self.ids += put("jobs.sleepy", [(n,) for n in range(2)])
                    self.ids += put(self._rare.pop(0), [(1,)]) if self._rare else []
                    self._send_single()

        self._rare = ["jobs.stuck", "jobs.crashes"] * 3
        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _send_single(self) -> None:
        """Enqueue jobs that keep others out, take their place, or expire."""
        options, number = self._field.app.options, next(self._numbers)
        once = options(unique="args")
        latest = options(unique="args", on_conflict="replace", debounce=0.3)
        for n in range(3):
            self.single.add(once.send("jobs.plain", n, 0.02).id)
            self.replaceable.add(latest.send("jobs.plain", -n, 0.03).id)
        for on_expire in ("dead", "drop"):
            call = options(expires=0.3, priority="low", on_expire=on_expire)
            self.expiring.add(call.send("jobs.plain", number, 0.0).id)

    def _freeze(self, pids: list[int]) -> None:
        """Stop processes for longer than the lease."""
        pids = [pid for pid in pids if alive(pid)]
        freeze(pids)
        until = time.monotonic() + 2 * LEASE
        wait_until(lambda: time.monotonic() > until, "the lease is over")
        for pid in pids:
            if alive(pid):
                thaw([pid])

    def _fresh(self) -> Host:
        return start_host(self._field, f"host{next(self._numbers)}", *self._options)


@pytest.mark.parametrize(("kind", "seed"), [("inline", 1), ("threads", 2), ("async", 3)])
@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.fault("G1", "G2", "G5", "G6", "G7", "G10", "G11")
def test_the_books_balance_after_chaos(field: Field, fault: Fault, kind: str, seed: int) -> None:
    """Whatever happened, each job has one end; not run is what was cancelled or has expired."""
    word, sleep = ("async ", "await asyncio.sleep") if kind == "async" else ("", "time.sleep")
    parts = (part.format(kind=word, sleep=sleep) for part in (FATES, TIMES))
    field.write("from jobq import Snooze", SYNC, *parts)
    options = {"threads": ("--threads", "3"), "async": ("--concurrency", "5")}.get(kind, ())
    chaos = Chaos(field, seed, *options)
    began = time.monotonic()
    with chaos.flowing():
        while time.monotonic() - began < 20:
            chaos.happen()
            some = field.succeeded() + 20
            wait_until(lambda: field.succeeded() >= some, "it goes on", 40)  # noqa: B023
    field.app.schedules.pause("jobs.tick")
    field.wait_over(timeout=60)
    chaos.finish()

    ticks = [one for one in field.app.schedules.get("jobs.tick").past if one.job_id]
    ids = chaos.all | {one.job_id for one in ticks}
    account = field.account(ids)
    again = sum(account.starts[one] - 1 for one in chaos.plain if account.starts[one])
    totals = field.app.store.run(count_jobs("default")).totals
    may_not_run = {*chaos.cancelled, *chaos.replaceable, *chaos.expiring}
    fault.lost, fault.duplicated = len(account.lost - may_not_run), again
    fault.note(f"{len(ids)} jobs, {len(ticks)} ticks, {len(chaos.told)} faults")
    fault.note(f"{totals['expired']} expired, {totals['cancelled']} cancelled")
    assert fault.lost == 0
    assert {one["reason"] for one in field.dead()} <= {"expired"}
    assert account.dead <= chaos.expiring - set(account.starts)
    ended = totals["succeeded"] + totals["cancelled"] + totals["expired"]
    assert ended == len(ids), "each job ends once"
    assert totals["cancelled"] <= len({*chaos.cancelled, *chaos.replaceable})
    assert totals["expired"] <= len(chaos.expiring)
    assert ids - account.succeeded <= may_not_run
    seconds = [one.nominal_at.timestamp() for one in reversed(ticks) if one.nominal_at]
    assert len(ticks) < 100, "more than are kept: the books say nothing"
    assert all(b - a == 1 for a, b in pairwise(seconds)), "each tick made one job"
    for left in ("history", "cancels", "delayed"):
        assert field.redis.hgetall(f"jobq:{{default}}:{left}") == {}
    assert field.redis.zcard("jobq:{default}:due") == 0
    streams = ("jobs", "retries", *(f"jobs:{priority}" for priority in ("high", "low")))
    assert all(field.pending(stream) == [] for stream in streams)
    assert chaos.is_free()
