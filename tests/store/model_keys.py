"""Uniqueness keys, in plain Python: who has one, until when, and what becomes of other calls."""

from typing import NamedTuple

from jobq.core.uniqueness import Rule
from jobq.store.ops.enqueue import ADDED, HELD, REPLACED, SIGN, THROTTLED
from tests.store.model_times import DAY, LINES, Job, Times


class Lock(NamedTuple):
    """Who has a uniqueness key, until when if for a time, and since when."""

    mode: str
    till: int
    since: int
    job_id: str


class Keys(Times):
    """All jobs of a queue, and who of them has a uniqueness key."""

    def __init__(self) -> None:
        super().__init__()
        self.locks: dict[str, Lock] = {}
        self.started: dict[str, list[tuple[int, str]]] = {}  # by key, for throttle

    def add_keyed(
        self, key: str, new: str, call: bytes, line: str, rule: Rule, due: int | None,
        *, asked: bool = False, signed_for: str = "",
    ) -> tuple[str, str]:  # fmt: skip
        lock = self.locks.get(key)
        holder = self._holder(lock, rule)
        if lock and not holder and rule.conflict != "r" and self.holds(lock):
            return HELD, lock.job_id
        past = self.started.get(key, [])
        times = [one for one in past if one[0] > self.now - rule.window // DAY]
        if rule.passes and len(times) >= rule.passes:
            return THROTTLED, past[-1][1]
        swapped = lock if holder and holder.waits else None
        job_id = swapped.job_id if swapped else new
        if signed_for not in ("", job_id):
            return SIGN, job_id
        since = swapped.since if swapped and holder and holder.fresh else self.now
        if swapped and holder:
            self._swap(holder, call, line, due)
        else:
            if holder:
                holder.marked = True  # it runs: another call has taken its place
            self.add(new, call, line, self.now if due is None else due, asked=asked)
        if rule.debounce:
            days = min(self.now + rule.debounce // DAY, since + rule.longest // DAY)
            self.jobs[job_id].place, self.jobs[job_id].due = "q", days
        self._note(key, job_id, rule, since)
        return REPLACED if swapped else ADDED, job_id

    def _holder(self, lock: Lock | None, rule: Rule) -> Job | None:
        """Return the live job in whose place a call comes."""
        live = lock is not None and rule.conflict == "r" and lock.job_id in self.ids("hjlrdq")
        return self.jobs[lock.job_id] if lock and live else None

    def _swap(self, job: Job, call: bytes, line: str, due: int | None) -> None:
        """The last arguments win; its time stays unless another is asked for."""
        old = self.now if job.place in LINES or job.held else job.due
        job.place, job.call, job.line, job.kind, job.attempt = "q", call, line, "?", 0
        job.due = old if due is None else due

    def _note(self, key: str, job_id: str, rule: Rule, since: int) -> None:
        if rule.mode != "-":
            self.locks[key] = Lock(rule.mode, self.now + rule.holds // DAY, since, job_id)
        if rule.passes:
            self.started.setdefault(key, []).append((self.now, job_id))

    def holds(self, lock: Lock) -> bool:
        """Tell whether a key is taken: a lock never outlives what it says."""
        job = self.jobs.get(lock.job_id, Job("", b""))
        if job.place == "x":
            return False
        if lock.mode == "t":
            return lock.till > self.now
        return job.fresh if lock.mode == "s" else job.place != ""

    def sweep(self) -> None:
        """Forget what says nothing any more."""
        live = set(self.ids("hjlrdq"))
        for key, lock in list(self.locks.items()):
            if lock.job_id not in live and not self.holds(lock):
                del self.locks[key]

    def unlock(self, job_id: str) -> None:
        """Let go the key that a job has for a time, and with that perhaps when it is gone."""
        for key, lock in list(self.locks.items()):
            if lock.mode == "t" and lock.job_id == job_id:
                del self.locks[key]

    def cancel(self, job_id: str) -> int:
        said = super().cancel(job_id)
        if said in (1, -1):
            self.unlock(job_id)
        return said
