"""The jobs of the demo in Redis: enqueued, counted, looked at in the end, and removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jobq.cli.demo_jobs import KINDS, Kind, calls, define
from jobq.client.app import JobQ
from jobq.client.filters import Filter
from jobq.client.letters import Letters
from jobq.client.rows import LetterRow
from jobq.core import result
from jobq.core.job import JobState
from jobq.errors import StoreError
from jobq.store.connection import Connection
from jobq.store.ops import inspect, manage, upkeep
from jobq.store.wire import Op


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the jobs of one kind are.

    Attributes:
        kind: which.
        left: not ended: waiting, running or retrying.
        running: in an attempt, or about to be.
        retrying: failed, and waiting for a later attempt.
        dead: dead letters.
    """

    kind: Kind
    left: int
    running: int
    retrying: int
    dead: int

    @property
    def done(self) -> int:
        """How many succeeded."""
        return self.kind.jobs - self.left - self.dead


@dataclass(frozen=True, slots=True)
class End:
    """How one job ended.

    Attributes:
        job_id: the job.
        kind: its kind.
        state: succeeded or dead; None: neither its result nor a dead letter is there.
        attempts: how often it was started.
        pid: the process that finished it; 0 unless it succeeded.
    """

    job_id: str
    kind: Kind
    state: JobState | None
    attempts: int = 0
    pid: int = 0


class Stage:
    """The queues of one demo, one for each kind.

    Args:
        url: of the Redis.
        prefix: what their names begin with, if they could meet others.

    Attributes:
        ids: the ids of the jobs, by kind, in the order of `calls`.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.ids: dict[str, list[str]] = {}
        self._app = JobQ(url, name="demo")
        self._functions = define(self._app)
        self._prefix = prefix
        self._connection = Connection(self._app.store.locate, name="jobq-demo")

    @property
    def queues(self) -> list[str]:
        """The queues, the first one first."""
        return [self.queue(kind.name) for kind in KINDS]

    def queue(self, kind: str) -> str:
        """Return the queue of a kind."""
        return f"{self._prefix}{kind}"

    def safe_url(self) -> str:
        """Return where Redis is, for people."""
        return self._app.safe_url()

    def enqueue(self, notes: Path, *, patience: float) -> None:
        """Enqueue all jobs, one round trip for each kind.

        Args:
            notes: see `jobq.cli.demo_jobs.calls`.
            patience: seconds that a Redis which does not answer is waited for.
        """
        self._app.store.patience = patience
        for kind in KINDS:
            function = self._functions[kind.name].options(queue=self.queue(kind.name))
            self.ids[kind.name] = [handle.id for handle in function.map(calls(kind, notes))]

    def progress(self) -> list[Progress]:
        """Count the jobs of each kind, in one round trip."""
        counted = self._exchange([inspect.count(queue) for queue in self.queues])
        return [
            Progress(
                kind,
                left=one.ready + one.running + one.retrying,
                running=one.running,
                # A busy process gives back what it has not started to the same place, uncounted.
                retrying=min(one.retrying, one.totals["retried"]) if kind.attempts > 1 else 0,
                dead=one.dead,
            )
            for kind, one in zip(KINDS, counted, strict=True)
        ]

    def letters(self) -> list[LetterRow]:
        """Read the dead letters, the newest first."""
        letters = Letters(self._app.store, self._app.codec)
        wanted = [Filter(queue=queue) for queue in self.queues]
        return list(chain.from_iterable(letters.rows(one, 100) for one in wanted))

    def ends(self, letters: Sequence[LetterRow]) -> list[End]:
        """Tell how each job ended, from its result or its dead letter, in one round trip."""
        dead = {one.id: one.attempts for one in letters}
        jobs = [(kind, job_id) for kind in KINDS for job_id in self.ids[kind.name]]
        blobs = self._exchange([inspect.result(self.queue(kind.name), at) for kind, at in jobs])
        return [
            End(job_id, kind, JobState.DEAD, dead[job_id])
            if job_id in dead
            else self._end(kind, job_id, blob)
            for (kind, job_id), blob in zip(jobs, blobs, strict=True)
        ]

    def end_of(self, kind: str, job_id: str) -> End:
        """Tell how one job ended, if it did."""
        which = next(one for one in KINDS if one.name == kind)
        (blob,) = self._exchange([inspect.result(self.queue(kind), job_id)])
        return self._end(which, job_id, blob)

    def clear(self, worker: str) -> None:
        """Remove every key of these queues; the worker must have ended.

        Args:
            worker: its name, in case it could not say goodbye.
        """
        removals: list[Op[Any]] = [upkeep.leave(worker)]
        for kind in KINDS:
            queue = self.queue(kind.name)
            removals += manage.remove_queue(queue, self.ids.get(kind.name, ()))
        self._exchange(removals)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()
        self._app.close()

    def _end(self, kind: Kind, job_id: str, blob: bytes | None) -> End:
        if blob is not None:
            found = result.decode(blob, self._app.codec)
            match found.state, found.value:
                case JobState.SUCCEEDED, [int(pid), int(attempt)]:
                    return End(job_id, kind, JobState.SUCCEEDED, attempt, pid)
        return End(job_id, kind, None)

    def _exchange(self, ops: Sequence[Op[Any]]) -> list[Any]:
        answers = self._connection.exchange(ops)
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        return answers
