"""What a worker is told when it starts."""

import os
import socket
from dataclasses import dataclass, field
from typing import Final

#: Seconds that jobs have to finish when their worker is told to stop: below the 30 s after which
#: Kubernetes kills.
DEFAULT_GRACE: Final = 25.0

#: The least that a job has to end after its timeout or its cancel, in seconds.
LEAST_PATIENCE: Final = 1.0


def default_name() -> str:
    """Return a name that people recognise: the host and the process."""
    return f"{socket.gethostname().split('.')[0]}:{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of a supervisor and its workers.

    Attributes:
        queues: which queues, the first one first; empty: those of the app's job functions.
        weights: of each of these queues, see `jobq.runtime.fairness`; empty: the first one first.
        processes: how many workers.
        threads: sync jobs at once in a worker; 1: inline in its main thread.
        concurrency: async jobs at once in a worker.
        burst: end when the queues are empty.
        lease: seconds, see `jobq.core.lease`; None: what the app says.
        grace: seconds, see `DEFAULT_GRACE`.
        max_jobs: jobs after which a worker is replaced by a new one; None: any number.
        max_rss: bytes of resident memory above which it is; None: any.
        name: what the supervisor is called; unique among those that live.
    """

    queues: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    threads: int = 1
    concurrency: int = 100
    burst: bool = False
    lease: float | None = None
    grace: float = DEFAULT_GRACE
    max_jobs: int | None = None
    max_rss: int | None = None
    name: str = field(default_factory=default_name)

    @property
    def patience(self) -> float:
        """Seconds between the timeout of a job, or its cancel, and the kill of its process.

        The grace; but also where a worker that stops has none, its jobs can clean up.
        """
        return max(self.grace, LEAST_PATIENCE)
