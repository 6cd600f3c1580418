"""The async jobs of `jobq bench`: a module of its own, since asyncio is not for sync workers."""

import asyncio
from dataclasses import dataclass
from typing import Final

from jobq.cli import bench_gate
from jobq.cli.bench_app import HOLD, MARK
from jobq.client.app import JobQ
from jobq.client.function import AsyncJobFunction

#: Seconds that a job sleeps.
NAP: Final = 0.010


@dataclass(frozen=True, slots=True)
class AsyncJobs:
    """An app and its job functions.

    Attributes:
        app: the app.
        nap: sleeps for `NAP` seconds and keeps no result.
        hold: holds the whole event loop up until it is let go.
        mark: sleeps as `nap`, then tells when it was done.
    """

    app: JobQ
    nap: AsyncJobFunction[[], None]
    hold: AsyncJobFunction[[str], None]
    mark: AsyncJobFunction[[str], None]


async def nap() -> None:
    """Sleep a little."""
    await asyncio.sleep(NAP)


async def hold(path: str) -> None:
    """Block the event loop, which nobody should, until the bench lets it go."""
    bench_gate.hold(path)


async def mark(path: str) -> None:
    """Sleep a little, then tell the time."""
    await asyncio.sleep(NAP)
    bench_gate.mark(path)


def async_jobs(url: str | None, queue: str) -> AsyncJobs:
    """Make an app for one queue."""
    app = JobQ(url, name="bench", queue=queue)
    return AsyncJobs(
        app,
        nap=app.job(nap, name="bench.nap", result_ttl=0),
        hold=app.job(hold, name=HOLD, result_ttl=0, retries=0),
        mark=app.job(mark, name=MARK, result_ttl=0, retries=0),
    )


def worker_app() -> JobQ:
    """Make the app of a worker that ends with its bench."""
    bench_gate.leash_supervisor()
    return async_jobs(None, "default").app
