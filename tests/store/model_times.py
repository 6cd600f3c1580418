"""When a job may start, in plain Python: times, lines, pauses. No Redis.

Time is a whole number of days, and the steps of a day are a millisecond each: what was asked for
earlier on the same day comes first. Places are named by the letters of the index: the lines h, j
and l; r: retries; d: delayed; q: replaceable; x: dead; nothing: ended.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count

DAY = 86_400_000  # ms
LINES = "hjl"


@dataclass
class Job:
    """One job; `order` is its place among those of its line, or of its day when it is delayed."""

    place: str
    call: bytes
    line: str = "j"
    due: int = 0
    order: tuple[int, ...] = ()
    owner: str = ""
    attempt: int = 0
    crashes: int = 0
    kind: str = "?"
    marked: bool = False  # it does not wait again
    revived: bool = False

    @property
    def waits(self) -> bool:
        return self.place not in ("", "x") and not self.owner

    @property
    def held(self) -> bool:
        return self.place == "r" and self.waits and self.kind in "pP"

    @property
    def fresh(self) -> bool:
        """Whether it waits and was never started."""
        return self.waits and (self.place != "r" or self.attempt == 0)


class Times:
    """All jobs of a queue, and its pauses."""

    def __init__(self) -> None:
        self.now = 0
        self.jobs: dict[str, Job] = {}
        self.pauses: dict[str, int | None] = {}  # until when
        self.resumed: int | None = None  # when a job function was, and no supervisor has looked yet
        self.totals = Counter({"succeeded": 0, "retried": 0, "dead": 0, "cancelled": 0})
        self._orders = count(1)

    def ids(self, places: str) -> list[str]:
        return [i for i, job in self.jobs.items() if job.place and job.place in places]

    def running(self, owner: str = "") -> list[str]:
        return [i for i, job in self.jobs.items() if job.owner and owner in ("", job.owner)]

    # what is due, and who may take it

    def readable(self, line: str) -> list[str]:
        waiting = [job_id for job_id in self.ids(line) if self.jobs[job_id].waits]
        return sorted(waiting, key=lambda job_id: self.jobs[job_id].order)

    def promotable(self) -> list[str]:
        due = [job_id for job_id in self.ids("d") if self.jobs[job_id].due <= self.now]
        return sorted(due, key=lambda job_id: (self.jobs[job_id].due, self.jobs[job_id].order))

    def claimable(self, kinds: str) -> set[str]:
        some = {i for i in self.ids("rq") if self.jobs[i].waits and self.jobs[i].due <= self.now}
        return {i for i in some if self.jobs[i].kind in kinds and not self.jobs[i].held}

    def next_due(self) -> int | None:
        later = [self.jobs[i] for i in self.ids("rdq")]
        days = [one.due for one in later if one.waits and not one.held and one.due > self.now]
        return min(days, default=None)

    def promote(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            job = self.jobs[job_id]
            job.place, job.order = job.line, (next(self._orders),)

    def read(self, owner: str, many: int) -> list[str]:
        """Take new jobs: those of low priority only when there are no others."""
        taken = [*self.readable("h"), *self.readable("j")][:many] or self.readable("l")[:many]
        for job_id in taken:
            self.jobs[job_id].owner = owner
        return taken

    def claim(self, owner: str, kinds: str) -> set[str]:
        taken = self.claimable(kinds)
        for job_id in taken:
            job = self.jobs[job_id]
            job.place, job.owner, job.attempt = "r", owner, job.attempt + 1
        return taken

    # new jobs

    def add(self, job_id: str, call: bytes, line: str, due: int, *, asked: bool = False) -> None:
        """Add one; `asked`: the start of that day was asked for, which comes before the rest."""
        order = next(self._orders)
        job = Job(line if due <= self.now else "d", call, line, due, (order,))
        if job.place == "d":
            job.order = (0 if asked else 1, order)
        self.jobs[job_id] = job

    # how an attempt ends

    def end(self, job_id: str, counter: str) -> None:
        """Succeed, bury (dead), cancel or purge."""
        dead = counter == "dead"
        job = self.jobs[job_id]
        self.jobs[job_id] = Job("x" if dead else "", job.call, job.line)
        if counter != "purged":
            self.totals[counter] += 1

    def park(self, job_id: str, due: int, kind: str, *, used: bool, crashed: bool = False) -> None:
        """Let it wait in the retries, after an attempt that was used or not."""
        job = self.jobs[job_id]
        if job.marked:
            self.end(job_id, "cancelled")
            return
        self.totals["retried"] += used
        attempt = max(1, job.attempt) if used else max(0, job.attempt - 1)
        crashes = job.crashes + crashed
        self.jobs[job_id] = replace(
            job, place="r", owner="", attempt=attempt, crashes=crashes, due=due, kind=kind
        )

    def cancel(self, job_id: str) -> int:
        job = self.jobs.get(job_id, Job("", b""))
        if job.place in ("", "x"):
            return -2 if job.place else 0
        if job.owner:
            job.marked = True
            return -1
        self.end(job_id, "cancelled")
        return 1

    def revive(self, job_id: str) -> None:
        job = self.jobs[job_id]
        self.add(job_id, job.call, job.line, self.now)
        self.jobs[job_id].revived = True

    def lose(self, place: str) -> None:
        """The group of a stream is lost: all that it had delivered waits again."""
        for job_id in self.ids(place):
            job = self.jobs[job_id]
            if job.marked:
                self.end(job_id, "cancelled")
                continue
            if job.owner:
                job.due, job.kind, job.owner = self.now, "?", ""
            job.attempt = int(place == "r")

    # pauses

    def is_paused(self, name: str) -> bool:
        return name in self.pauses and (self.pauses[name] or self.now + 1) > self.now

    def resume(self, name: str) -> bool:
        known = name in self.pauses
        self.pauses.pop(name, None)
        if known and name != "*":
            self.resumed = self.now
        return known

    def look(self) -> None:
        """What a supervisor does: end what is over, give free what may be held no more."""
        over = {name for name in self.pauses if not self.is_paused(name)}
        for name in over:
            del self.pauses[name]
        every = bool(over - {"*"}) or not self.pauses.keys() - {"*"}
        last = self.now if every else -1 if self.resumed is None else self.resumed
        for job in self.jobs.values():
            if job.held and job.due <= last:
                job.kind, job.due = "!" if job.kind == "P" else "?", self.now
        self.resumed = None

    def view(self) -> dict[str, tuple[object, ...]]:
        """Return what can be seen of each job that has not ended."""
        found: dict[str, tuple[object, ...]] = {}
        for job_id in self.ids("hjlrdqx"):
            job = self.jobs[job_id]
            timed = job.place in "rdq" and not job.owner
            kind = job.kind if timed and job.place == "r" else ""
            attempt = job.attempt if job.place == "r" else 0
            days = max(0, job.due - self.now) if timed and not job.held else 0
            state = (kind, days, job.owner, attempt, job.crashes, job.marked)
            found[job_id] = (job.place, job.line, job.call, *state)
        return found
