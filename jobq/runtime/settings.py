"""What a worker is told when it starts."""

import os
import socket
from dataclasses import dataclass, field
from typing import Final

#: Seconds that a job may go without a sign of life from its supervisor before others take it.
DEFAULT_LEASE: Final = 30.0

#: Below this, a busy machine alone makes leases run out.
MIN_LEASE: Final = 1.0


def default_name() -> str:
    """Return a name that people recognise: the host and the process."""
    return f"{socket.gethostname().split('.')[0]}:{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of a supervisor and its workers.

    Attributes:
        queues: which queues, the first one first; empty: those of the app's job functions.
        processes: how many workers.
        threads: sync jobs at once in a worker; 1: inline in its main thread.
        concurrency: async jobs at once in a worker.
        burst: end when the queues are empty.
        lease: seconds, see `DEFAULT_LEASE`.
        name: what the supervisor is called; unique among those that live.
    """

    queues: tuple[str, ...] = ()
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)
    threads: int = 1
    concurrency: int = 100
    burst: bool = False
    lease: float = DEFAULT_LEASE
    name: str = field(default_factory=default_name)
