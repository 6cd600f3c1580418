"""A queue against a model of when its jobs may start: delays, lines, uniqueness keys, pauses."""

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from jobq.core.backoff import Fixed
from jobq.core.history import History
from jobq.core.lines import letter_of, line_at, lines_of
from jobq.core.options import Policy
from jobq.core.uniqueness import Rule
from jobq.runtime.recovery import Crashed, Released, Terms, recover
from jobq.store import clock, keys
from jobq.store.keys import GROUP
from jobq.store.ops import enqueue, fetch, manage, pause, promote, upkeep
from jobq.store.ops.enqueue import ADDED, HELD, REPLACED, SIGN
from jobq.store.wire import Op
from tests.store.bench import Bench
from tests.store.line import problems
from tests.store.model_keys import Keys
from tests.store.model_times import DAY, LINES
from tests.store.snapshot import snapshot
from tests.support.keys import leaks

WORKERS = ("w1", "w2")
NAMES = ("app.f", "app.g")  # of job functions, which can be paused

POLICY = Policy(retries=1000, backoff=Fixed((0,)), max_crashes=1000)
TERMS = Terms(policy_for=lambda _: POLICY, grace=1.0, rng=lambda: 0.5)

#: What may be asked for with each key: one job at a time, only the last call, anything.
ONCE = (Rule("d"), Rule("d", conflict="x"))
LATEST = (Rule("d", conflict="r"), Rule("d", 0, "r", DAY, 3 * DAY))
ANYTHING = (
    *ONCE, *LATEST, Rule("s"), Rule("s", conflict="r"), Rule("s", 0, "r", 2 * DAY, 3 * DAY),
    Rule("t", DAY), Rule("t", 2 * DAY, "x"), Rule("-", passes=2, window=2 * DAY),
    Rule("d", passes=2, window=2 * DAY),
)  # fmt: skip
PACED = (Rule("-", passes=2, window=2 * DAY),)
RULES = {"once": ONCE, "latest": LATEST, "mixed": ANYTHING, "paced": PACED}

workers = st.sampled_from(WORKERS)
letters = st.sampled_from(LINES)
#: Not st.randoms(): it prefers the first of a list, and most jobs would never be looked at.
picks = st.integers(0, 2**32).map(Random)  # noqa: S311  not for secrets
#: Days from now; as a delay, or as the start of that day; or nothing was said.
dues = st.none() | st.tuples(st.integers(0, 3), st.just(False)) | st.tuples(
    st.integers(-1, 3), st.just(True)
)  # fmt: skip


def some(fact: Callable[[Keys], object]) -> Callable[[Any], Any]:
    """Let a rule apply only where there is something for it: most random steps would be idle."""
    return precondition(lambda self: bool(fact(self.model)))


def name_of(job_id: str) -> str:
    return NAMES[int(job_id[-1]) % 2]


class Calendar(Bench):
    """Does each step in Redis and in the model, and compares what came of it."""

    def teardown(self) -> None:
        """See that all locks are true, that nothing starts that should not, and what is left."""
        if not self.server.running:
            return
        for _ in range(2):  # what a note refers to may go first
            self._sweep()
        notes = {one.decode() for one in self.server.cli("HKEYS", keys.unique(self.queue))}
        locks = self.model.locks.items()
        expected = {key for key, _ in locks} | {f"@{x.job_id}" for _, x in locks if x.mode == "t"}
        assert {name for name in notes if not name.endswith("~")} == expected, (notes, expected)
        self._promote_all()
        self._fetch("w1", keys.KINDS, 1000)
        assert problems(self.server, self.queue) == []
        self.server.cli("DEL", keys.CLOCK)
        assert leaks(self.server.connect()) == []
        self.redis.close()
        self.server.cli("FLUSHALL")

    # producers

    @initialize()
    def begin(self) -> None:
        """Who has a key runs already: most of the rules are about that, and it would be rare."""
        for key, one in (("once", ONCE[0]), ("latest", LATEST[0]), ("mixed", Rule("t", 2 * DAY))):
            self.enqueue_keyed(key, one, "h", None, True, False)
        for letter in LINES:
            self._enqueue(letter, 1, None)
        self._enqueue("j", 2, (1, False))
        self._enqueue("h", 1, (1, True))
        self._fetch("w1", "s?u", 4)

    @rule(letter=letters, many=st.integers(1, 3), when=dues)
    def enqueue(self, letter: str, many: int, when: tuple[int, bool] | None) -> None:
        self._enqueue(letter, many, when)

    def _enqueue(self, letter: str, many: int, when: tuple[int, bool] | None) -> None:
        new = [self._new() for _ in range(many)]
        line, due = line_at(self.queue, letter), self._due(when) or enqueue.NOW
        calls = [(one, b"call of " + one.encode()) for one in new]
        assert self._send(enqueue.enqueue_special(line, calls, due=due)) == many
        days, asked = when or (0, False)
        for one, call in calls:
            self.model.add(one, call, letter, self.model.now + days, asked=asked)

    @rule(pick=picks, letter=letters, when=dues, signed=st.booleans(), twice=st.booleans())
    def enqueue_with_key(
        self, pick: Random, letter: str, when: tuple[int, bool] | None, signed: bool, twice: bool
    ) -> None:
        jobs = self.model.jobs
        rare = {i for i, job in jobs.items() if job.place == "x" or job.held}
        keys_of_them = [key for key, lock in self.model.locks.items() if lock.job_id in rare]
        key = pick.choice([*sorted(RULES), *keys_of_them, *keys_of_them])
        self.enqueue_keyed(key, pick.choice(RULES[key]), letter, when, signed, twice)

    def enqueue_keyed(
        self, key: str, rule: Rule, letter: str, when: tuple[int, bool] | None, signed: bool,
        twice: bool,
    ) -> None:  # fmt: skip
        """Send a call as a producer does; where it must be signed for another id, once more."""
        new, due = self._new(), self._due(when)
        day = None if when is None else self.model.now + when[0]
        call, line = b"call of " + new.encode(), line_at(self.queue, letter)
        signed_for = new if signed else ""
        while True:
            op = enqueue.enqueue_keyed(line, key, new, call, rule, due=due, signed_for=signed_for)
            landed = self._send(op)
            expected = self.model.add_keyed(
                key, new, call, letter, rule, day, asked=bool(when and when[1]),
                signed_for=signed_for,
            )  # fmt: skip
            assert landed == expected, (key, rule, self.model.locks.get(key))
            if twice:
                assert self.line.run(self.sent[-1]) == landed, "the answer to a resend is another"
            if landed.how not in (ADDED, REPLACED):
                self.sent.pop()  # it did nothing, so it may do something when it is sent again
            if landed.how != SIGN:
                break
            signed_for = landed.job_id
        if landed.how == ADDED:
            self.keyed[key].append(new)
        if key in self.model.locks:
            self.notes[key] = self.server.cli("HGET", keys.unique(self.queue), key)
        assert (rule.conflict != "r") or landed.how != HELD

    @precondition(lambda self: self.sent)
    @rule(pick=picks)
    def resend(self, pick: Random) -> None:
        self.line.run(pick.choice(self.sent))  # and nothing has changed

    # workers

    @rule(
        worker=workers,
        kinds=st.sampled_from(["s?u", "s?u", "a?u", "sa?!u", "!"]),
        new=st.integers(1, 4),
    )
    def fetch(self, worker: str, kinds: str, new: int) -> None:
        self._fetch(worker, kinds, new)

    def _fetch(self, worker: str, kinds: str, new: int) -> None:
        """What is to be retried first, then what is new, as workers do; nothing when paused."""
        model = self.model
        paused = {one.job or "*" for one in self.line.run(pause.read(self.queue))}
        assert paused == {name for name in model.pauses if model.is_paused(name)}
        if "*" in paused:
            return
        held = self.line.run(fetch.claim(self.queue, worker, 1000, kinds)).held
        assert sorted(one.fields[0].decode() for one in held if one.fields) == sorted(
            model.claim(worker, kinds)
        )
        for one in held:
            assert one.fields is not None
            self._hold(self.queue, worker, one.entry, one.fields, one.count)
        used = [line for line in lines_of(self.queue) if self.line.run(fetch.is_used(line))]
        if {letter_of(line) for line in used} - self.grouped:
            self._regroup()
        rows = self.line.run(fetch.read_lines(used, worker, new))
        taken = [(line, entry) for line, entries in rows for entry in entries]
        assert [one[1][0].decode() for _, one in taken] == model.read(worker, new)
        for line, (entry, fields) in taken:
            self._hold(line, worker, entry, fields, 0)

    @some(Keys.running)
    @rule(
        pick=picks,
        how=st.sampled_from(["fail", "fail", "release", "hold", "bury", "bury", "finish", "end"]),
        days=st.integers(0, 2),
        kind=st.sampled_from("sa?"),
    )
    def end(self, pick: Random, how: str, days: int, kind: str) -> None:
        locked = {lock.job_id for lock in self.model.locks.values()}
        job_id = pick.choice(sorted(self.hands) + sorted(locked & self.hands.keys()) * 2)
        model, job = self.model, self.model.jobs[job_id]
        kind = "!" if job.crashes else kind
        if how in ("release", "hold"):
            # Paused, or it was until just now, and its worker has not heard of the end.
            paused = model.resumed == model.now or model.is_paused(name_of(job_id))
            how = "hold" if paused else "release"
        if how == "hold":
            kind, days = "P" if kind == "!" else "p", 0
        self._tick()
        assert self._how(how, *self.hands[job_id], days, kind)
        self._drop(job_id)
        if how in ("fail", "release", "hold"):
            model.park(job_id, model.now + days, kind, used=how == "fail")
        else:
            counters = {"bury": "dead", "finish": "succeeded", "end": "cancelled"}
            model.end(job_id, counters[how])

    @rule(pick=picks, how=st.sampled_from(["fail", "release", "bury", "finish", "end"]))
    def come_late(self, pick: Random, how: str) -> None:
        now = [attempt for attempt, _ in self.hands.values()]
        if late := [one for one in self.stale[-9:] if one[0] not in now]:
            assert not self._how(how, *pick.choice(late), 0, "?")

    @some(Keys.running)
    @rule(pick=picks)
    def crash(self, pick: Random) -> None:
        """What a supervisor does: what ran is charged, what was only fetched is released."""
        worker = self.hands[pick.choice(sorted(self.hands))][0].consumer
        for line, stream in self._streams():
            for held in self.line.run(fetch.mine(line, stream, worker)):
                assert held.fields is not None
                job_id, ran = held.fields[0].decode(), pick.random() < 0.5
                op: Op[Any] = recover(
                    held,
                    Crashed("killed") if ran else Released(),
                    line=line,
                    consumer=worker,
                    in_retries=stream == self.line.retries,
                    terms=TERMS,
                    now_ms=0,
                )
                assert self.line.run(op)
                self._drop(job_id)
                kind = "!" if ran or self.model.jobs[job_id].crashes else "?"
                self.model.park(job_id, self.model.now, kind, used=ran, crashed=ran)
        assert self.model.running(worker) == []

    # supervisors, and time

    @rule(days=st.integers(1, 2))
    def pass_days(self, days: int) -> None:
        self.line.run(clock.move(days * DAY))
        self.model.now += days

    @some(lambda model: model.promotable())
    @rule(limit=st.integers(1, 4), rewind=st.booleans())
    def promote(self, limit: int, rewind: bool) -> None:
        if rewind:
            self.cursor = None
        self._promote(limit)

    @some(lambda model: model.promotable())
    @rule()
    def promote_all(self) -> None:
        self._promote_all()

    def _promote_all(self) -> None:
        while self._promote(3):
            pass
        assert self.model.promotable() == []

    def _promote(self, limit: int) -> bool:
        model = self.model
        waiting = [model.jobs[job_id] for job_id in model.claimable(keys.KINDS)]
        ready = {one.place if one.place == "q" else one.kind for one in waiting}
        after = self.line.run(promote.promote(self.queue, self.cursor, limit))
        assert (set(after.ready), after.lost) == (ready, 0)
        next_due = None if after.next_due_ms is None else (after.next_due_ms - self.base) // DAY
        assert next_due == model.next_due()
        assert after.moved <= limit
        model.promote(model.promotable()[: after.moved])
        self.cursor = after.cursor
        return after.more

    @precondition(lambda self: self.looks % 6 == 5)
    @rule()
    def sweep(self) -> None:
        self._sweep()

    @some(lambda model: model.pauses or any(job.held for job in model.jobs.values()))
    @rule()
    def look(self) -> None:
        """What all supervisors do of pauses within a minute after a resume."""
        for _ in range(4):
            while self.line.run(pause.look(self.queue)).more:
                pass
            self.line.run(clock.move(61_000))
        self.model.look()

    # people, and what befalls Redis

    @rule(name=st.sampled_from(["*", *NAMES, *NAMES]), days=st.integers(0, 2))
    def pause(self, name: str, days: int) -> None:
        model, job = self.model, None if name == "*" else name
        known = pause.CHANGED if model.is_paused(name) else pause.PAUSED
        op = pause.pause(self.queue, job, for_=days * DAY / 1000 if days else None)
        assert self.line.run(op) == known
        model.pauses[name] = model.now + days if days else None

    @some(lambda model: model.pauses)
    @rule(pick=picks)
    def resume(self, pick: Random) -> None:
        name = pick.choice(sorted([*self.model.pauses, *NAMES][:3]))
        known = self.model.resume(name)
        assert self.line.run(pause.resume(self.queue, None if name == "*" else name)) == known

    @rule(pick=picks, places=st.sampled_from(["hjl", "r", "dq", "dq", "x"]))
    def cancel(self, pick: Random, places: str) -> None:
        job_id = pick.choice(self.model.ids(places) or ["nobody"])
        assert self.line.cancel(job_id) == self.model.cancel(job_id)

    @some(lambda model: model.ids("x"))
    @rule(pick=picks, purge=st.booleans(), swept=st.booleans())
    def revive_or_purge(self, pick: Random, purge: bool, swept: bool) -> None:
        job_id = pick.choice(self.model.ids("x"))
        entry = self.line.letters()[job_id]
        if swept:
            self._sweep()
        else:
            self._unsweep(job_id)
        if purge:
            assert self.line.run(manage.purge(self.queue, job_id, entry))
            self.model.unlock(job_id)
            self.model.end(job_id, "purged")
        else:
            past = History().encode()
            assert self.line.run(manage.revive(self.queue, job_id, entry, past))
            self.model.revive(job_id)

    def _sweep(self) -> None:
        cursor = "0"
        while True:
            cursor, _ = self.line.run(upkeep.sweep_unique(self.queue, cursor, 100))
            if cursor == "0":
                break
        self.model.sweep()

    def _unsweep(self, job_id: str) -> None:
        """Any enqueue may have deleted the note of a dead letter, by chance: it has not."""
        unique = keys.unique(self.queue)
        for key, lock in self.model.locks.items():
            if lock.job_id == job_id:
                self.server.cli("HSETNX", unique, key, self.notes[key])
                if lock.mode == "t":
                    self.server.cli("HSETNX", unique, f"@{job_id}", key)

    @precondition(lambda self: self.looks % 4 == 0)
    @rule(places=st.sets(st.sampled_from("hjlr"), min_size=1, max_size=2))
    def lose_groups(self, places: set[str]) -> None:
        lost = sorted(places & self.grouped)
        for place in lost:
            stream = self.line.retries if place == "r" else keys.jobs(line_at(self.queue, place))
            self.server.cli("XGROUP", "DESTROY", stream, GROUP)
        self._regroup()
        for place in lost:
            for job_id in self.model.running():
                if self.model.jobs[job_id].place == place:
                    self._drop(job_id)
            self.model.lose(place)

    # what must always be so

    @invariant()
    def keys_agree(self) -> None:
        self.looks += 1
        if self.looks % 8 == 0:  # it takes longer than the steps
            assert problems(self.server, self.queue) == []

    @invariant()
    def jobs_agree(self) -> None:
        model = self.model
        seen, expected = snapshot(self.redis, self.queue, self.base, model.now), model.view()
        assert seen == expected, dict(set(seen.items()) ^ set(expected.items()))
        assert self.hands.keys() == set(model.running())
        assert len([i for i in self._of("once") if model.jobs[i].place != "x"]) <= 1
        assert len([i for i in self._of("latest") if model.jobs[i].waits]) <= 1

    @invariant()
    def numbers_agree(self) -> None:
        seen, model = self.line.count(), self.model
        live = [job for job in model.jobs.values() if job.place not in ("", "x")]
        delayed = sum(job.place in "dq" and job.due > model.now for job in live)
        later = [job for job in live if job.place == "r" and job.waits and not job.held]
        retrying = sum(job.due > model.now for job in later)
        running = len(model.running())
        numbers = (len(live) - running - delayed - retrying, running, retrying, delayed)
        assert (seen.ready, seen.running, seen.retrying, seen.delayed) == numbers
        assert (seen.held, seen.dead) == (sum(job.held for job in live), len(model.ids("x")))
        assert seen.totals.items() >= model.totals.items()
