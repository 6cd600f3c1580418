"""The sync jobs of `jobq bench`, for its worker, for its bare worker and for itself."""

from dataclasses import dataclass
from typing import Final

from jobq.cli.bench_gate import hold, leash_supervisor, mark
from jobq.client.app import JobQ
from jobq.client.function import JobFunction

NOOP: Final = "bench.noop"
STORED: Final = "bench.stored"
HOLD: Final = "bench.hold"
MARK: Final = "bench.mark"

#: The second argument of small jobs: an address, as that of a mail.
SOMEBODY: Final = "ada@example.org"


@dataclass(frozen=True, slots=True)
class SyncJobs:
    """An app and its job functions.

    Attributes:
        app: the app.
        noop: a small job that does nothing and keeps no result.
        stored: the same, but its result is kept as long as results are by default.
        hold: holds its worker up until it is let go.
        mark: tells when it was started.
    """

    app: JobQ
    noop: JobFunction[[int, str], None]
    stored: JobFunction[[int, str], int]
    hold: JobFunction[[str], None]
    mark: JobFunction[[str], None]


def noop(number: int, text: str) -> None:
    """Do nothing."""
    del number, text


def stored(number: int, text: str) -> int:
    """Do nothing, and return something small."""
    del text
    return number


def sync_jobs(url: str | None, queue: str) -> SyncJobs:
    """Make an app for one queue."""
    app = JobQ(url, name="bench", queue=queue)
    return SyncJobs(
        app,
        noop=app.job(noop, name=NOOP, result_ttl=0),
        stored=app.job(stored, name=STORED),
        hold=app.job(hold, name=HOLD, result_ttl=0, retries=0),
        mark=app.job(mark, name=MARK, result_ttl=0, retries=0),
    )


def worker_app() -> JobQ:
    """Make the app of a worker that ends with its bench."""
    leash_supervisor()
    return sync_jobs(None, "default").app
