"""The jobs of `jobq demo`: an app like any other, and notes by which its slow jobs are watched."""

import os
from asyncio import sleep as async_sleep
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import pbkdf2_hmac
from pathlib import Path
from time import sleep
from typing import Final

from jobq.client.app import JobQ
from jobq.client.function import JobCall
from jobq.client.sending import Arguments
from jobq.core.clock import SystemClock
from jobq.core.current import current_job

#: What a job of the demo returns: the process that finished it, and in which attempt.
Ran = tuple[int, int]

#: How often a flaky job fails before it succeeds.
FAILURES: Final = 2
#: The attempts of a hopeless job after its first.
RETRIES: Final = 2
#: Seconds that the slow jobs take. The first is long enough to be killed in the middle of it,
#: however busy the machine is.
SLOW: Final = (2.4, *[0.6] * 7)
#: Seconds that an async job waits.
WAIT: Final = 0.5
#: Rounds of the hash that a quick job makes: about a millisecond.
ROUNDS: Final = 1500

_CLOCK: Final = SystemClock()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of job.

    Attributes:
        name: that of its job function.
        what: what its jobs do, in a few words.
        jobs: how many are enqueued.
        dies: they end as dead letters.
        attempts: in which attempt they end, if no process dies.
    """

    name: str
    what: str
    jobs: int
    dies: bool = False
    attempts: int = 1


#: In the order of their queues: the worker takes from the first one first.
KINDS: Final = (
    Kind("quick", "a millisecond each", 240),
    Kind("async", "wait, many at once", 60),
    Kind("flaky", "fail twice, then succeed", 20, attempts=FAILURES + 1),
    Kind("hopeless", "always fail", 4, dies=True, attempts=RETRIES + 1),
    Kind("slow", "half a second or more", len(SLOW)),
)


@dataclass(frozen=True, slots=True)
class Note:
    """What a slow job says of itself when an attempt begins.

    Attributes:
        job_id: the job.
        attempt: which attempt it is.
        pid: the worker process that runs it.
        at: when it began; `Clock.monotonic` of this machine, the same in all its processes.
    """

    job_id: str
    attempt: int
    pid: int
    at: float


def make_app(url: str | None = None) -> JobQ:
    """Return the app, for `jobq worker`."""
    app = JobQ(url, name="demo")
    define(app)
    return app


def define(app: JobQ) -> Mapping[str, JobCall[..., Ran]]:
    """Give an app the job functions of the demo; the answer has them by kind."""
    return {
        "quick": app.job(quick, name="quick"),
        "async": app.job(wait, name="async"),
        "flaky": app.job(flaky, name="flaky", backoff=["0.5s", "1s"]),
        "hopeless": app.job(hopeless, name="hopeless", retries=RETRIES, backoff="0.4s"),
        "slow": app.job(slow, name="slow"),
    }


def calls(kind: Kind, notes: Path) -> list[Arguments]:
    """Return the arguments of each job of a kind.

    Args:
        notes: the file for the notes of slow jobs.
    """
    if kind.name == "slow":
        return [(length, notes) for length in SLOW]
    return [(number,) for number in range(1, kind.jobs + 1)]


def quick(number: int) -> Ran:
    """Compute for about a millisecond."""
    pbkdf2_hmac("sha256", b"jobq", number.to_bytes(4, "big"), ROUNDS)
    return _ran()


async def wait(number: int) -> Ran:
    """Wait, as for the reply of another server."""
    await async_sleep(WAIT + number / 1000)
    return _ran()


def flaky(number: int) -> Ran:
    """Fail in the first attempts, then succeed.

    Raises:
        ConnectionError: each time but the last.
    """
    if current_job().attempt <= FAILURES:
        raise ConnectionError(f"server {number} is busy")
    return _ran()


def hopeless(number: int) -> Ran:
    """Fail, whatever happens.

    Raises:
        KeyError: always.
    """
    raise KeyError(number)


def slow(length: float, notes: Path) -> Ran:
    """Take long, as a report does; say first who runs it.

    Args:
        length: seconds.
        notes: a file, which gets a line.
    """
    job = current_job()
    with notes.open("a", encoding="ascii") as file:
        file.write(f"{job.id} {job.attempt} {os.getpid()} {_CLOCK.monotonic()}\n")
    sleep(length)
    return _ran()


def read_notes(notes: Path) -> list[Note]:
    """Read what slow jobs have said so far, oldest first."""
    try:
        lines = notes.read_text(encoding="ascii").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    whole = (line.split() for line in lines if line.endswith("\n"))
    return [Note(job_id, int(attempt), int(pid), float(at)) for job_id, attempt, pid, at in whole]


def _ran() -> Ran:
    return os.getpid(), current_job().attempt
