"""What a queue is, in plain Python: each job in one place, and who has it. No Redis, no time.

Places: jobs, retries, dead, succeeded, cancelled, purged. Of what decides when a job may start,
`model_times` tells.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MAX_CRASHES = 2
ENDED = frozenset({"succeeded", "cancelled", "purged"})


@dataclass
class Job:
    """One job: the attempt is the delivery count in retries, and 0 in jobs."""

    place: str = "jobs"
    owner: str = ""
    attempt: int = 0
    crashes: int = 0
    due: bool = True
    marked: bool = False  # its cancel was asked for while it ran
    expired: bool = False  # nobody has renewed its lease for long
    kept: bool = False  # its result is kept, and so is its id


class Model:
    """All jobs of a queue; the order is that of the stream of new jobs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.totals = Counter({"succeeded": 0, "retried": 0, "dead": 0, "cancelled": 0})
        self.suspects: set[tuple[str, str, str, int]] = set()

    def ids(self, *places: str) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.place in places]

    def held(self, owner: str = "") -> list[str]:
        """Who runs, at one worker or at any."""
        return [i for i, job in self.jobs.items() if job.owner and owner in ("", job.owner)]

    def readable(self) -> list[str]:
        return [job_id for job_id in self.ids("jobs") if not self.jobs[job_id].owner]

    def claimable(self) -> set[str]:
        due = {job_id for job_id in self.ids("retries") if self.jobs[job_id].due}
        return {job_id for job_id in due if not self.jobs[job_id].owner}

    def add(self, *job_ids: str) -> None:
        for job_id in job_ids:
            self.jobs.pop(job_id, None)
            self.jobs[job_id] = Job()

    def is_taken(self, job_id: str) -> bool:
        job = self.jobs.get(job_id)
        return job is not None and (job.place not in ENDED or job.kept)

    def read(self, owner: str, many: int) -> list[str]:
        taken = self.readable()[:many]
        for job_id in taken:
            self.jobs[job_id].owner = owner
        return taken

    def claim(self, owner: str, taken: Iterable[str]) -> None:
        for job_id in taken:
            job = self.jobs[job_id]
            job.owner, job.attempt = owner, job.attempt + 1

    def end(self, job_id: str, place: str, *, kept: bool = False) -> None:
        """Succeed, bury, cancel or purge."""
        job = self.jobs[job_id]
        crashes = job.crashes if place == "dead" else 0
        self.jobs[job_id] = Job(place, crashes=crashes, kept=kept)
        if place != "purged":
            self.totals[place] += 1

    def fail(self, job_id: str, *, due: bool) -> None:
        self.totals["retried"] += not self.jobs[job_id].marked
        self._park(job_id, max(1, self.jobs[job_id].attempt), due=due)

    def release(self, job_id: str, *, due: bool = True) -> None:
        self._park(job_id, max(0, self.jobs[job_id].attempt - 1), due=due)

    def crash(self, job_id: str, *, certain: bool) -> None:
        """Its process died: an attempt is used only if it is certain that the job ran in it."""
        job = self.jobs[job_id]
        job.crashes += not job.marked
        if job.crashes >= MAX_CRASHES and not job.marked:
            self.end(job_id, "dead", kept=True)
        elif certain:
            self.fail(job_id, due=True)
        else:
            self.release(job_id)

    def look(self, own: str) -> list[str]:
        """Return whose lease had run out at this look and the one before: they are recovered."""
        seen, taken = set(), []
        for job_id in self.held():
            job = self.jobs[job_id]
            suspicion = (job_id, job.place, job.owner, job.attempt)
            if not job.expired or job.owner == own:
                continue
            if suspicion in self.suspects:
                taken.append(job_id)
            else:
                seen.add(suspicion)
        self.suspects = seen
        for job_id in taken:
            self.crash(job_id, certain=False)
        return taken

    def cancel(self, job_id: str) -> int:
        job = self.jobs.get(job_id, Job("purged"))
        if job.owner:
            job.marked = True
            return -1
        if job.place in {"jobs", "retries"}:
            self.end(job_id, "cancelled", kept=True)
            return 1
        return -2 if job.place == "dead" else 0

    def lose(self, place: str) -> None:
        """The group of a stream is lost: all that it had delivered waits again."""
        for job_id in self.ids(place):
            job = self.jobs[job_id]
            if job.marked:
                self.end(job_id, "cancelled", kept=True)
                continue
            job.due = job.due or bool(job.owner)
            job.owner, job.expired = "", False
            job.attempt = int(place == "retries")

    def view(self) -> dict[str, tuple[str, str, int, int, bool, bool]]:
        """Return what can be seen of each job that has not ended."""
        live = [(job_id, job) for job_id, job in self.jobs.items() if job.place not in ENDED]
        return {
            i: (j.place, j.owner, j.attempt, j.crashes * (j.place != "dead"), j.due, j.marked)
            for i, j in live
        }

    def _park(self, job_id: str, attempt: int, *, due: bool) -> None:
        job = self.jobs[job_id]
        if job.marked:  # whose cancel was asked for does not start again
            self.end(job_id, "cancelled", kept=True)
        else:
            self.jobs[job_id] = Job("retries", attempt=attempt, crashes=job.crashes, due=due)
