"""What an executor is to do: which jobs it takes, how many at once, and when it ends."""

from dataclasses import dataclass

from jobq.core.lease import DEFAULT_LEASE
from jobq.runtime.settings import DEFAULT_GRACE
from jobq.store.ops import fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The orders of one executor.

    Attributes:
        queues: the queues it reads, the first one first.
        weights: of each queue; empty: the first one first.
        consumer: the worker, as Redis knows it; half of the fence.
        threads: sync jobs at once; 1: in the main thread.
        concurrency: async jobs at once.
        has_sync: the app has sync job functions.
        has_async: it has async ones.
        burst: end when the queues are empty.
        grace: seconds between a job's timeout and the kill of its process, see `Policy.kill_after`.
        lease: seconds.
        max_jobs: end after so many jobs; None: any number.
        isolated: take only suspects (jobs whose process has died before), one at a time, and
            end when there is none.
    """

    queues: tuple[str, ...]
    consumer: str
    weights: tuple[int, ...] = ()
    threads: int = 1
    concurrency: int = 100
    has_sync: bool = True
    has_async: bool = True
    burst: bool = False
    grace: float = DEFAULT_GRACE
    lease: float = DEFAULT_LEASE
    max_jobs: int | None = None
    isolated: bool = False

    @property
    def kinds(self) -> str:
        """The waiting retries that it takes whatever room there is for sync or async jobs."""
        return fetch.SUSPECT if self.isolated else fetch.ANY + fetch.UNKNOWN
