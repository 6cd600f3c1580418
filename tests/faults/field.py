"""The field of a fault: an app whose jobs can be counted, and the accounts afterwards."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from redis.exceptions import ResponseError

from jobq.store import keys
from tests.scenario.ground import PATIENCE, PRELUDE, Ground
from tests.support.process import Child
from tests.support.wait import wait_until

#: Jobs that say when they start and end. Monotonic seconds are the same for all processes here.
JOBS = """\
def begin():
    job = current_job()
    trace("start", job.id, job.attempt, os.getpid(), time.monotonic())
    return job

def end(job):
    trace("end", job.id, os.getpid(), time.monotonic())

@app.job(backoff=0.05, result_ttl="1h")
def work(n, seconds=0.0):
    job = begin()
    if seconds:
        time.sleep(seconds)
    end(job)
    return n

@app.job(backoff=0.05, result_ttl="1h")
async def awork(n, seconds=0.0):
    job = begin()
    await asyncio.sleep(seconds)
    end(job)
    return n

@app.job(backoff=0.05, retries=5)
def fails_once(n):
    job = begin()
    if job.attempt == 1:
        raise ValueError("once")
    end(job)

@app.job
def dies(n):
    begin()
    raise Dead("as it was told")
"""

#: As above for a worker of sync jobs only, which runs them in its main thread.
SYNC = JOBS.replace("async def awork", "def awork").replace("await asyncio", "time")


@dataclass(frozen=True)
class Account:
    """What became of the jobs that were asked for.

    Attributes:
        succeeded: ids of those that came to their end.
        dead: ids of dead letters.
        live: ids of those that wait or run, as the index of the queue knows them.
        starts: how often each one was started.
        ends: how often each one came to its end.
        lost: ids that neither succeeded, nor are dead, nor live.
        duplicated: starts beyond the first of each job.
    """

    succeeded: frozenset[str]
    dead: frozenset[str]
    live: frozenset[str]
    starts: Counter[str]
    ends: Counter[str]
    lost: frozenset[str]
    duplicated: int


@dataclass
class Field(Ground):
    """A ground whose jobs can be counted.

    Attributes:
        programs: what was started, in order.
    """

    programs: list[Child] = field(default_factory=list)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Child:
        """Start a command in the folder."""
        child = super().start(*words, env=env)
        self.programs.append(child)
        return child

    def write(self, *parts: str) -> None:
        """Write jobs.py: the prelude, and these parts; without any, `SYNC`."""
        text = PRELUDE + "\n".join(parts or (SYNC,))
        (self.folder / "jobs.py").write_text(text, encoding="utf-8")

    def starts(self) -> Counter[str]:
        """Return how often each job was started so far."""
        return Counter(rest[0] for rest in self.traced("start"))

    def ends(self) -> Counter[str]:
        """Return how often each job came to its end so far."""
        return Counter(rest[0] for rest in self.traced("end"))

    def started_at(self, job_id: str, number: int = 1) -> float:
        """Return the monotonic time of the start of a job, the first or a later one."""
        return [float(rest[3]) for rest in self.traced("start") if rest[0] == job_id][number - 1]

    def wait_over(self, queue: str = "default", timeout: float = PATIENCE) -> None:
        """Wait until nothing waits or runs in a queue; dead letters may be left."""

        def over() -> bool:
            where = self.server.cli("HVALS", keys.index(queue))
            return all(one[:1] == b"x" for one in where)

        try:
            wait_until(over, f"the queue {queue} is over", timeout)
        except AssertionError as late:
            told = [line for child in self.programs for line in child.lines[-40:]]
            raise AssertionError("\n".join([str(late), *self.state(queue), *told])) from None

    def state(self, queue: str = "default") -> list[str]:
        """Tell what is left in a queue, for failures."""
        left = self.server.cli("HGETALL", keys.index(queue))
        due = self.server.cli("ZRANGE", keys.due(queue), 0, 20, "WITHSCORES")
        try:
            held = [row for stream in ("jobs", "retries") for row in self.pending(stream)[:10]]
        except ResponseError:  # no such group: this may be why
            held = []
        return [f"index {left[:40]}", f"due {due}", f"pending {held}"]

    def account(self, ids: Iterable[str], queue: str = "default") -> Account:
        """Count what became of the jobs with these ids."""
        asked = set(ids)
        flat = self.server.cli("HGETALL", keys.index(queue))
        where = {
            job_id.decode("utf-8", "replace"): one[:1]
            for job_id, one in zip(flat[::2], flat[1::2], strict=True)
        }
        starts, ends = self.starts(), self.ends()
        dead = {job_id for job_id, letter in where.items() if letter == b"x"}
        live = set(where) - dead
        return Account(
            succeeded=frozenset(asked & set(ends)),
            dead=frozenset(dead),
            live=frozenset(live),
            starts=starts,
            ends=ends,
            lost=frozenset(asked - set(ends) - dead - live),
            duplicated=sum(starts[job_id] - 1 for job_id in asked if starts[job_id]),
        )


def said(child: Child, words: str) -> int:
    """Return how many lines of a program have these words."""
    return sum(words in line for line in child.lines)


def jobs_of(kind: str) -> str:
    """Return the jobs for a worker that runs them in its main thread, or in a loop."""
    return SYNC if kind == "sync" else JOBS


def wait_seconds(seconds: float) -> None:
    """Let time pass, where time is the fault."""
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began >= seconds, "the time is over", seconds + 20)
