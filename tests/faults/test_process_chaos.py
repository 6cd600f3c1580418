"""All faults of processes at once, in an order that chance gives: the books still balance."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

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
        self.cancelled: list[str] = []
        self.told: list[str] = []

    def happen(self) -> None:
        """Let one of the faults happen to one of the hosts."""
        deaths = (self.kill_worker, self.kill_supervisor, self.kill_host)
        others = (self.stop, self.hang_up, self.freeze_worker, self.freeze_host, self.cancel)
        what: Callable[[Host], None] = self._chance.choice((*deaths, *others))
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
                if self._field.left() < 300:
                    plain = put("jobs.plain", [(n, 0.01 * (n % 2)) for n in range(100)])
                    self.plain += plain
                    self.ids += plain + put("jobs.unsure", [(n,) for n in range(3)])
                    self.ids += put(self._rare.pop(0), [(1,)]) if self._rare else []

        self._rare = ["jobs.stuck", "jobs.crashes"] * 3
        thread = threading.Thread(target=flow)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

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
@pytest.mark.fault("G1", "G5", "G6", "G7")
def test_the_books_balance_after_chaos(field: Field, fault: Fault, kind: str, seed: int) -> None:
    """Whatever happened, each job has one end, and only what was cancelled has not run."""
    word, sleep = ("async ", "await asyncio.sleep") if kind == "async" else ("", "time.sleep")
    field.write(SYNC, FATES.format(kind=word, sleep=sleep))
    options = {"threads": ("--threads", "3"), "async": ("--concurrency", "5")}.get(kind, ())
    chaos = Chaos(field, seed, *options)
    began = time.monotonic()
    with chaos.flowing():
        while time.monotonic() - began < 20:
            chaos.happen()
            some = field.succeeded() + 20
            wait_until(lambda: field.succeeded() >= some, "it goes on", 40)  # noqa: B023
    field.wait_over(timeout=60)
    chaos.finish()

    account = field.account(chaos.ids)
    again = sum(account.starts[one] - 1 for one in chaos.plain if account.starts[one])
    totals = field.app.store.run(count_jobs("default")).totals
    fault.lost, fault.duplicated = len(account.lost - set(chaos.cancelled)), again
    fault.note(f"{len(chaos.ids)} jobs, {len(chaos.told)} faults")
    assert fault.lost == 0
    assert field.dead() == []
    assert totals["succeeded"] + totals["cancelled"] == len(chaos.ids), "each job ends once"
    assert totals["cancelled"] <= len(set(chaos.cancelled))
    assert set(chaos.ids) - account.succeeded <= set(chaos.cancelled)
    for left in ("history", "cancels"):
        assert field.redis.hgetall(f"jobq:{{default}}:{left}") == {}
    assert field.redis.zcard("jobq:{default}:due") == 0
    assert field.pending("jobs") == field.pending("retries") == []
