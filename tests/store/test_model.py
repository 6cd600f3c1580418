"""A queue against a model of it: any order of steps by three workers and a person at the desk."""

import itertools
from collections.abc import Iterable
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from jobq.store.ops import manage, upkeep
from jobq.store.ops.settle import Attempt
from tests.store.line import Line, Run, ids, problems, steal
from tests.support.server import Server

WORKERS = ("w1", "w2", "w3")
NUMBERS = itertools.count()

workers = st.sampled_from(WORKERS)
few = st.integers(1, 4)
picks = st.randoms(use_true_random=False)


class Queue(RuleBasedStateMachine):
    """The model: where each job is, who has it, and how often it was started."""

    def __init__(self, run: Run, server: Server) -> None:
        super().__init__()
        self.server = server
        self.line = Line(run, f"queue{next(NUMBERS)}").open()
        self.order: list[str] = []  # of what is in `jobs`: ready, or in `first`
        self.first: dict[str, Attempt] = {}
        self.waiting: set[str] = set()
        self.later: dict[str, Attempt] = {}
        self.counts: dict[str, int] = {}
        self.dead: set[str] = set()
        self.gone: set[str] = set()
        self.stale: list[Attempt] = []
        self.totals = {"succeeded": 0, "retried": 0, "dead": 0, "cancelled": 0}

    @property
    def ready(self) -> list[str]:
        return [job_id for job_id in self.order if job_id not in self.first]

    @rule(many=few)
    def enqueue(self, many: int) -> None:
        new = [f"job{next(NUMBERS)}" for _ in range(many)]
        assert self.line.add(*new) == many
        self.order += new

    @rule(worker=workers, many=few)
    def read(self, worker: str, many: int) -> None:
        expected = self.ready[:many]
        attempts = self.line.read(many, worker)
        assert ids(attempts) == expected
        self.first |= zip(expected, attempts, strict=True)

    @rule(worker=workers, pick=picks, sure=st.booleans())
    def settle(self, worker: str, pick: Random, sure: bool) -> None:
        mine = [job_id for job_id, one in self.first.items() if one.consumer == worker]
        some = pick.sample(mine, pick.randint(0, len(mine)))
        lost = [one for one in self._stale() if not one.count and one.consumer == worker][:1]
        batch = [*(self.first[job_id] for job_id in some), *lost]
        if not batch:
            return
        held = len(mine) if sure and not lost else -1
        batch.sort(key=lambda one: tuple(map(int, one.entry.split(b"-"))))
        assert self.line.settle(batch, held=held, worker=worker) == [one.entry for one in lost]
        self.totals["succeeded"] += len(some)
        self._leave(some)

    @precondition(lambda self: self.first or self.later)
    @rule(pick=picks, end=st.sampled_from(["fail", "release", "bury", "finish"]))
    def end(self, pick: Random, end: str) -> None:
        job_id = pick.choice(sorted([*self.first, *self.later]))
        is_first = job_id in self.first
        attempt = self.first[job_id] if is_first else self.later[job_id]
        if is_first and end == "finish":
            return
        assert getattr(self.line, end)(attempt)
        self._leave([job_id])
        if end in {"fail", "release"}:
            self.gone.discard(job_id)
            self.waiting.add(job_id)
            self.counts[job_id] = max(attempt.count, is_first) - (end == "release")
            self.totals["retried"] += end == "fail"
        elif end == "bury":
            self.gone.discard(job_id)
            self.dead.add(job_id)
            self.totals["dead"] += 1
        else:
            self.totals["succeeded"] += 1

    @rule(worker=workers, many=few)
    def claim(self, worker: str, many: int) -> None:
        attempts = self.line.claim(many, worker)
        taken = ids(attempts)
        assert len(set(taken)) == min(many, len(self.waiting))
        assert self.waiting >= set(taken)
        for job_id, attempt in zip(taken, attempts, strict=True):
            self.counts[job_id] += 1
            assert attempt.count == self.counts[job_id]
        self.later |= zip(taken, attempts, strict=True)
        self.waiting -= set(taken)

    @precondition(lambda self: self.first or self.later)
    @rule(pick=picks, thief=workers)
    def steal(self, pick: Random, thief: str) -> None:
        job_id = pick.choice(sorted([*self.first, *self.later]))
        having = self.first if job_id in self.first else self.later
        old = having[job_id]
        steal(self.server, old, thief)
        having[job_id] = Attempt(old.queue, thief, old.entry, old.job_id, old.count)
        self.stale.append(old)

    @rule(pick=picks)
    def come_late(self, pick: Random) -> None:
        if stale := self._stale():
            attempt = pick.choice(stale)
            assert not self.line.fail(attempt)
            assert not self.line.bury(attempt)
            assert not self.line.release(attempt)
            assert not (attempt.count and self.line.finish(attempt))

    @precondition(lambda self: self.dead)
    @rule(pick=picks, purge=st.booleans())
    def revive_or_purge(self, pick: Random, purge: bool) -> None:
        job_id = pick.choice(sorted(self.dead))
        entry = self.line.letters()[job_id]
        if purge:
            assert self.line.run(manage.purge(self.line.name, job_id, entry))
            self.gone.add(job_id)
        else:
            assert self.line.revive(job_id, entry)
            self.order.append(job_id)
        self.dead.remove(job_id)

    @rule(pick=picks)
    def cancel(self, pick: Random) -> None:
        every = [*self.order, *self.waiting, *self.later, *self.dead, *self.gone, "nobody"]
        job_id = pick.choice(sorted(every))
        running = job_id in self.first or job_id in self.later
        waits = job_id in self.waiting or (job_id in self.order and not running)
        expected = 1 if waits else -1 if running else -2 if job_id in self.dead else 0
        assert self.line.cancel(job_id) == expected
        if waits:
            self._leave([job_id])
            self.totals["cancelled"] += 1

    @rule(jobs=st.booleans(), retries=st.booleans())
    def lose_groups(self, jobs: bool, retries: bool) -> None:
        line = self.line
        for stream in [line.jobs] * jobs + [line.retries] * retries:
            self.server.cli("XGROUP", "DESTROY", stream, "jobq")
        line.run(upkeep.regroup(line.name))
        if jobs:
            self.stale += self.first.values()
            self.first.clear()
        if retries:
            self.stale += self.later.values()
            self.waiting |= self.later.keys()
            self.later.clear()
            self.counts |= dict.fromkeys(self.waiting, 1)

    @invariant()
    def keys_agree(self) -> None:
        assert problems(self.server, self.line.name) == []

    @invariant()
    def numbers_agree(self) -> None:
        seen = self.line.count()
        due = len(self.waiting)  # all of them at once, so they are ready
        assert (seen.ready, seen.retrying) == (len(self.ready) + due, 0)
        assert (seen.running, seen.dead) == (len(self.first) + len(self.later), len(self.dead))
        assert seen.totals == self.totals
        for stream, having in ((self.line.jobs, self.first), (self.line.retries, self.later)):
            found = [one for worker in WORKERS for one in self.line.mine(stream, worker)]
            assert {one.job_id.decode(): one for one in found} == having

    def _leave(self, job_ids: Iterable[str]) -> None:
        """Take jobs from wherever they are."""
        for job_id in job_ids:
            self.order = [one for one in self.order if one != job_id]
            self.waiting.discard(job_id)
            self.stale += [
                having.pop(job_id) for having in (self.first, self.later) if job_id in having
            ]
            self.gone.add(job_id)

    def _stale(self) -> list[Attempt]:
        """Attempts of before, none of which is by chance an attempt of now."""
        now = {*self.first.values(), *self.later.values()}
        return [one for one in self.stale[-9:] if one not in now]


def test_any_order_of_steps(mail: Line, server: Server) -> None:
    run_machine(
        lambda: Queue(mail.run, server),  # type: ignore[arg-type]  # whatever makes one will do
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
