"""A queue against a model of it: any order of steps by workers, supervisors, producers, people."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from jobq.core.backoff import Fixed
from jobq.core.options import Policy
from jobq.errors import StoreError
from jobq.runtime.reaper import Reaper
from jobq.runtime.recovery import Crashed, Fate, Released, Terms, TimedOut, recover
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.keys import GROUP
from jobq.store.ops import enqueue, fetch, manage, settle, upkeep
from jobq.store.ops.settle import Attempt
from jobq.store.sync import Store
from jobq.store.wire import Op
from tests.conftest import StartServer
from tests.store import model
from tests.store.line import Line, call_of, ids, pairs, problems, resent, view
from tests.store.model import ENDED, MAX_CRASHES, Model
from tests.support.keys import leaks
from tests.support.server import Server

WORKERS = ("w1", "w2")  # a third would only make it rarer that they meet
OWN_IDS = ("report", "invoice")
NUMBERS = itertools.count(1)

POLICY = Policy(retries=1000, backoff=Fixed((0,)), max_crashes=MAX_CRASHES)
TERMS = Terms(policy_for=lambda _: POLICY, grace=1.0, rng=lambda: 0.5)

workers = st.sampled_from(WORKERS)
few = st.integers(1, 4)
#: Not st.randoms(): it prefers the first of a list, and most jobs would never be looked at.
picks = st.integers(0, 2**32).map(Random)  # noqa: S311  not for secrets


def some(fact: Callable[[Model], object]) -> Callable[[Any], Any]:
    """Let a rule apply only where there is something for it: most random steps would be idle."""
    return precondition(lambda self: bool(fact(self.model)))


def _come_to(store: Store, op: Op[Any]) -> object:
    """Return what an op came to, as a supervisor gets it: errors too are answers."""
    try:
        return store.run(op)
    except StoreError as error:
        return error


class Queue(RuleBasedStateMachine):
    """Does each step in Redis and in the model, and compares what came of it."""

    def __init__(self, store: Store, server: Server, restarts: int) -> None:
        super().__init__()
        self.server = server
        self.store = store
        self.line = Line(store.run, f"queue{next(NUMBERS)}").open()
        self.model = Model()
        self.hands: dict[str, Attempt] = {}
        self.stale: list[Attempt] = []
        self.sent: list[Op[Any]] = []
        self.reaper = Reaper(lambda ops: [_come_to(store, op) for op in ops], 60.0, TERMS)
        self.restarts = restarts
        self.looks = 0

    def teardown(self) -> None:
        """See that nothing starts that should not, and that no key is left; then make room."""
        if not self.server.running:
            return
        assert sorted(ids(self.line.claim(1000))) == sorted(self.model.claimable())
        assert ids(self.line.read(1000)) == self.model.readable()
        assert problems(self.server, self.line.name) == []
        with self.server.connect() as redis:
            assert leaks(redis) == []
        self.server.cli("FLUSHALL")

    # producers

    @initialize()
    def begin(self) -> None:
        self._enqueue(6)
        for worker in WORKERS:
            self._hold(self.line.read(2, worker))
            self.model.read(worker, 2)

    @rule(many=few)
    def enqueue(self, many: int) -> None:
        self._enqueue(many)

    def _enqueue(self, many: int) -> None:
        first = len(self.model.jobs)
        new = [f"job{first + number:04}" for number in range(many)]
        calls = [(one, b"call of " + one.encode()) for one in new]
        assert self._send(enqueue.enqueue_many(self.line.name, calls)) == many
        self.model.add(*new)

    @rule(job_id=st.sampled_from(OWN_IDS))
    def enqueue_own(self, job_id: str) -> None:
        taken = self.model.is_taken(job_id)
        op = enqueue.enqueue_unique(self.line.name, job_id, b"call of " + job_id.encode())
        assert self._send(op) is not taken
        if taken:
            self.sent.pop()  # it did nothing, so that it may do something when it is sent again
        else:
            self.model.add(job_id)

    @precondition(lambda self: self.sent)
    @rule(pick=picks)
    def resend(self, pick: Random) -> None:
        self.line.run(pick.choice(self.sent))  # and nothing has changed

    # workers

    @some(lambda model: model.readable() or model.claimable())
    @rule(worker=workers, late=st.booleans(), new=few)
    def fetch(self, worker: str, late: bool, new: int) -> None:
        """What is to be retried first, then what is new, as workers do."""
        # All of it: which of them are due first depends on the clock, and no two runs would agree.
        attempts = self.line.claim(1000, worker) if late else []
        taken = ids(attempts)
        assert sorted(taken) == sorted(self.model.claimable() if late else [])
        self.model.claim(worker, taken)
        assert [one.count for one in attempts] == [self.model.jobs[i].attempt for i in taken]
        self._hold(sorted(attempts, key=lambda one: one.job_id))
        attempts = self.line.read(new, worker)
        assert ids(attempts) == self.model.read(worker, new)
        self._hold(attempts)

    @some(lambda model: [i for i in model.ids("jobs") if model.jobs[i].owner])
    @rule(pick=picks, sure=st.booleans(), ttl=st.sampled_from([0, 60_000]))
    def settle(self, pick: Random, sure: bool, ttl: int) -> None:
        """Finish some of what a worker has in `jobs`, and what it has lost."""
        first = [one for one in self.hands.values() if not one.count]
        worker = pick.choice(sorted({one.consumer for one in first}))
        mine = [one.job_id.decode() for one in first if one.consumer == worker]
        some = pick.sample(mine, pick.randint(0, len(mine)))
        lost = [one for one in self._stale() if not one.count and one.consumer == worker][:1]
        batch = [*(self.hands[job_id] for job_id in some), *lost]
        if not batch:
            return
        held = len(mine) if sure and not lost else -1
        batch.sort(key=lambda one: tuple(map(int, one.entry.split(b"-"))))
        assert self.line.settle(batch, held=held, ttl=ttl, worker=worker) == [
            one.entry for one in lost
        ]
        for job_id in some:
            self._drop(job_id)
            self.model.end(job_id, "succeeded", kept=ttl > 0)

    @some(Model.held)
    @rule(
        pick=picks,
        how=st.sampled_from(["fail", "release", "bury", "finish", "cancelled"]),
        soon=st.booleans(),
    )
    def end(self, pick: Random, how: str, soon: bool) -> None:
        job_id = pick.choice(sorted(self.hands))
        attempt = self.hands[job_id]
        later = {"delay": 0.0 if soon else 3600.0}
        if how == "finish" and not attempt.count:
            return
        assert self._how(how, attempt, later)
        self._drop(job_id)
        if how == "fail":
            self.model.fail(job_id, due=soon)
        elif how == "release":
            self.model.release(job_id, due=soon)
        else:
            place = {"bury": "dead", "finish": "succeeded", "cancelled": "cancelled"}[how]
            self.model.end(job_id, place, kept=how == "cancelled")

    @rule(pick=picks, how=st.sampled_from(["fail", "release", "bury", "finish", "cancelled"]))
    def come_late(self, pick: Random, how: str) -> None:
        if stale := self._stale():
            entries = {one.entry for one in self.hands.values()}
            attempt = pick.choice([one for one in stale if one.entry in entries] or stale)
            if attempt.count or how != "finish":
                assert not self._how(how, attempt, {"delay": 0.0})

    @some(Model.held)
    @rule(pick=picks)
    def crash(self, pick: Random) -> None:
        """What a supervisor does: what ran is charged, what was only fetched is released."""
        worker = self.hands[pick.choice(sorted(self.hands))].consumer
        for stream in (self.line.jobs, self.line.retries):
            for held in self.line.run(fetch.mine(self.line.name, stream, worker)):
                assert held.fields is not None
                job_id = held.fields[0].decode()
                fates: list[Fate] = [Released(), Crashed("killed"), TimedOut("killed")]
                fate = pick.choice(fates)
                op: Op[Any] = recover(
                    held,
                    fate,
                    line=self.line.name,
                    consumer=worker,
                    in_retries=stream == self.line.retries,
                    terms=TERMS,
                    now_ms=0,
                )
                assert self.line.run(op)
                self._drop(job_id)
                if isinstance(fate, Crashed):
                    self.model.crash(job_id, certain=True)
                elif isinstance(fate, TimedOut):
                    self.model.fail(job_id, due=True)
                else:
                    self.model.release(job_id)
        assert self.model.held(worker) == []

    # supervisors

    @some(Model.held)
    @rule(pick=picks, own=workers, looks=st.integers(0, 2))
    def expire(self, pick: Random, own: str, looks: int) -> None:
        """Nobody has renewed the leases of a worker for long; perhaps a supervisor looks."""
        worker = self.hands[pick.choice(sorted(self.hands))].consumer
        for job_id in self.model.held(worker):
            words = ("XCLAIM", self._stream(self.hands[job_id]), GROUP, worker, 0)
            assert self.server.cli(*words, self.hands[job_id].entry, "IDLE", 10**8, "JUSTID")
            self.model.jobs[job_id].expired = True
        for _ in range(looks):
            self._look(own)

    @some(Model.held)
    @rule(pick=picks)
    def renew(self, pick: Random) -> None:
        some = self.hands[pick.choice(sorted(self.hands))]
        worker, stream = some.consumer, self._stream(some)
        mine = [one for one in self.hands.values() if one.consumer == worker]
        mine = [one for one in mine if self._stream(one) == stream]
        late = [one for one in self._stale() if self._stream(one) == stream]
        late = [one for one in late if one.entry not in {mine.entry for mine in mine}][:1]
        entries = [one.entry.decode() for one in [*mine, *late]]
        lost = self.line.run(upkeep.renew(stream, worker, entries))
        assert lost == [one.entry.decode() for one in late]
        for one in mine:
            self.model.jobs[one.job_id.decode()].expired = False

    @some(lambda model: any(job.expired for job in model.jobs.values()))
    @rule(own=workers)
    def look(self, own: str) -> None:
        self._look(own)

    def _look(self, own: str) -> None:
        """Look for expired leases, as the supervisor of one of the workers."""
        self.reaper.look([self.line.name], {}, [own], 0)
        for job_id in self.model.look(own):
            self._drop(job_id)

    @some(lambda model: [i for i in model.ids("retries") if not model.jobs[i].due])
    @rule(pick=picks)
    def promote(self, pick: Random) -> None:
        """Time passes, and some retries are due."""
        due = keys.due(self.line.name)
        for member in self.server.cli("ZRANGE", due, 0, -1):
            if pick.random() < 0.5:
                self.server.cli("ZADD", due, "XX", 1, member)
        index = pairs(self.server.cli("HGETALL", keys.index(self.line.name)))
        members = pairs(self.server.cli("ZRANGE", due, 0, -1, "WITHSCORES"))
        promoted = {member[1:] for member, score in members.items() if score == "1"}
        for job_id in self.model.ids("retries"):
            self.model.jobs[job_id].due |= index[job_id][1:] in promoted

    # a person, and what befalls Redis

    @some(lambda model: model.ids("dead"))
    @rule(pick=picks, purge=st.booleans())
    def revive_or_purge(self, pick: Random, purge: bool) -> None:
        job_id = pick.choice(sorted(self.model.ids("dead")))
        entry = self.line.letters()[job_id]
        if purge:
            assert self.line.run(manage.purge(self.line.name, job_id, entry))
            self.model.end(job_id, "purged")
        else:
            assert self.line.revive(job_id, entry)
            self.model.add(job_id)  # it starts afresh, at the end

    @precondition(lambda self: self.hands or self.looks % 5 == 2)
    @rule(pick=picks, which=st.sampled_from(["running", "running", "waiting", "dead", "ended"]))
    def cancel(self, pick: Random, which: str) -> None:
        model = self.model
        found = {
            "running": model.held(),
            "waiting": [*model.readable(), *sorted(model.claimable())],
            "dead": model.ids("dead"),
            "ended": model.ids(*ENDED)[-2:],
        }[which]
        job_id = pick.choice(found or ["nobody"])
        assert self.line.cancel(job_id) == self.model.cancel(job_id)

    @precondition(lambda self: self.looks % 3 == 0)
    @rule(jobs=st.booleans(), retries=st.booleans())
    def lose_groups(self, jobs: bool, retries: bool) -> None:
        places = ["jobs"] * jobs + ["retries"] * retries
        for place in places:
            stream = self.line.jobs if place == "jobs" else self.line.retries
            self.server.cli("XGROUP", "DESTROY", stream, GROUP)
        self.line.run(upkeep.regroup(self.line.name))
        for place in places:
            for job_id in self.model.held():
                if self.model.jobs[job_id].place == place:
                    self._drop(job_id)
            self.model.lose(place)

    @precondition(lambda self: self.restarts and self.looks % 26 == 25)
    @rule()
    def restart(self) -> None:
        self.restarts -= 1
        self.server.kill()
        self.server.start()

    # what must always be so

    @invariant()
    def keys_agree(self) -> None:
        self.looks += 1
        if self.looks % 8 == 0:  # it takes longer than the steps
            assert problems(self.server, self.line.name) == []

    @invariant()
    def jobs_agree(self) -> None:
        assert view(self.server, self.line.name) == self.model.view()
        assert self.hands.keys() == set(self.model.held())

    @invariant()
    def numbers_agree(self) -> None:
        seen, model = self.line.count(), self.model
        running, dead = len(model.held()), len(model.ids("dead"))
        waiting = [i for i in model.ids("retries") if not model.jobs[i].owner]
        later = sum(not model.jobs[job_id].due for job_id in waiting)
        ready = len(model.readable()) + len(waiting) - later
        assert (seen.ready, seen.running, seen.retrying, seen.dead) == (ready, running, later, dead)
        assert seen.totals.items() >= model.totals.items()

    # how it is done

    def _send(self, op: Op[Any]) -> Any:
        self.sent.append(resent(op, "lane", next(NUMBERS)))
        return self.line.run(self.sent[-1])

    def _how(self, how: str, attempt: Attempt, later: dict[str, float]) -> bool:
        if how == "cancelled":
            return self.line.run(settle.cancelled(attempt))
        if how == "fail":
            more: dict[str, Any] = {"kind": fetch.ANY, "history": b"", **later}
            return self.line.run(settle.retry(attempt, call_of(attempt), **more))
        act = getattr(self.line, how)
        return bool(act(attempt, **later) if how == "release" else act(attempt))

    def _hold(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            job_id = attempt.job_id.decode()
            assert job_id not in self.hands, "it runs at two workers at once"
            self.hands[job_id] = attempt

    def _drop(self, job_id: str) -> None:
        self.stale.append(self.hands.pop(job_id))

    def _stream(self, attempt: Attempt) -> str:
        return self.line.retries if attempt.count else self.line.jobs

    def _stale(self) -> list[Attempt]:
        """Attempts of before, none of which is by chance an attempt of now."""
        now = set(self.hands.values())
        return [one for one in self.stale[-9:] if one not in now]


def check(
    start_server: StartServer, *, examples: int, steps: int, restarts: int, fsync: str
) -> None:
    """Try many orders of steps, on a server that can be killed without losing anything."""
    server = start_server({"appendfsync": fsync}, appendonly=True)
    store = Store(lambda: parse_url(server.url), patience=10.0)
    run_machine(
        lambda: Queue(store, server, restarts),  # type: ignore[arg-type]  # whatever makes one
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    store.close()


def test_any_order_of_steps(start_server: StartServer) -> None:
    check(start_server, examples=30, steps=40, restarts=1, fsync="no")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_orders_of_steps_with_restarts(start_server: StartServer) -> None:
    check(start_server, examples=500, steps=80, restarts=5, fsync="always")


def test_the_model_is_short_enough_to_be_believed() -> None:
    assert len(Path(model.__file__).read_text(encoding="utf-8").splitlines()) <= 150
