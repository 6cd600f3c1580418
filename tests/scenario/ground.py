"""The ground of a scenario: an app in a folder, real workers on it, and what its jobs left."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from jobq import JobHandle, JobQ
from jobq.core.ids import make_job_id
from jobq.core.lines import queue_of
from jobq.store.ops.enqueue import MOST_CALLS, NOW, Due, enqueue_special, register_queue
from jobq.store.ops.inspect import count
from tests.conftest import Spawn
from tests.support.process import Child
from tests.support.server import Server
from tests.support.wait import wait_until

#: Where Linux tells about processes; elsewhere programs are asked.
PROC = Path("/proc/self/stat").exists()

#: Seconds that a scenario may take: generous, since other tests use the same two cores.
PATIENCE = 30.0

#: What every jobs.py starts with. Lines of a few words that are appended whole: the start and
#: the end of each job, whatever process runs it.
PRELUDE = """\
import asyncio, ctypes, os, signal, sys, threading, time
from jobq import Dead, JobQ, Retry, current_job

app = JobQ()
_trace = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def trace(*words):
    os.write(_trace, (" ".join(map(str, words)) + "\\n").encode())

"""

#: The jobs that most scenarios need.
COMMON = """\
@app.job
def short(n):
    trace("ran", n)

@app.job
def slow(n, seconds):
    trace("started", n, os.getpid(), time.time())
    time.sleep(seconds)
    trace("ended", n, os.getpid(), time.time())
    return n

@app.job
def who():
    return os.getpid()
"""

#: The same for a loop.
ASYNC = """\
@app.job
async def ashort(n):
    trace("ran", n)

@app.job
async def aslow(n, seconds):
    trace("started", n, os.getpid(), time.time())
    await asyncio.sleep(seconds)
    trace("ended", n, os.getpid(), time.time())
    return n
"""


@dataclass
class Ground:
    """An app in a folder of its own.

    Attributes:
        folder: where jobs.py is, and where workers run.
        url: the Redis of the app, as workers reach it.
        server: the same, as the test reaches it.
        app: a client, on the server itself.
    """

    folder: Path
    server: Server
    redis: Redis
    spawn: Spawn
    app: JobQ
    url: str
    env: dict[str, str] = field(default_factory=dict)

    def write(self, *parts: str) -> None:
        """Write jobs.py: the prelude, and these parts."""
        (self.folder / "jobs.py").write_text(PRELUDE + "\n".join(parts), encoding="utf-8")

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Child:
        """Start a command in the folder."""
        return self.spawn(
            *words,
            cwd=self.folder,
            env={
                "JOBQ_REDIS_URL": self.url,
                "TRACE": str(self.folder / "trace"),
                **self.env,
                **(env or {}),
            },
        )

    def worker(self, *options: str, processes: int = 1) -> Child:
        """Start a worker and wait until all its processes look for jobs."""
        child = self.start("jobq", "worker", "--processes", str(processes), *options)
        wait_until(
            lambda: len(children(child.pid)) >= processes or not child.running,
            "the worker has its processes",
            PATIENCE,
        )
        return child

    def burst(self, *options: str) -> Child:
        """Run a worker until the queues are empty; returns it, ended."""
        child = self.start("jobq", "worker", "--burst", *options)
        child.check(PATIENCE)
        return child

    def put(
        self,
        name: str,
        calls: Iterable[Sequence[object]],
        queue: str = "default",
        headers: Mapping[str, object] | None = None,
        due: Due = NOW,
    ) -> list[str]:
        """Enqueue many calls by name; returns their ids, in order.

        Args:
            queue: or a line of it, see `jobq.core.lines`.
            due: ms from now, or Redis time in ms.
        """
        run, encode = self.app.store.run, self.app.codec.encode_call
        made = [
            (make_job_id(), encode(name, tuple(args), {}, dict(headers or {}) or None))
            for args in calls
        ]
        run(register_queue(queue_of(queue)))
        for at in range(0, len(made), MOST_CALLS):
            part = made[at : at + MOST_CALLS]
            assert run(enqueue_special(queue, part, due=due)) == len(part)
        return [job_id for job_id, _ in made]

    def send(self, name: str, *args: object) -> JobHandle[object]:
        """Enqueue one call by name."""
        return self.app.send(name, *args)

    def traces(self) -> list[list[str]]:
        """Return the words of each line that jobs have left so far."""
        path = self.folder / "trace"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [line.split() for line in text.split("\n")[:-1]]

    def traced(self, word: str) -> list[list[str]]:
        """Return the rest of each line that starts with a word."""
        return [line[1:] for line in self.traces() if line[0] == word]

    def ran(self, word: str = "ran") -> Counter[int]:
        """Return how often each number stands behind a word."""
        return Counter(int(rest[0]) for rest in self.traced(word))

    def wait_traced(self, word: str, many: int = 1, timeout: float = PATIENCE) -> list[list[str]]:
        """Wait until that many lines start with a word."""
        return wait_until(lambda: self._at_least(word, many), f"{many} jobs said {word!r}", timeout)

    def left(self, queue: str = "default") -> int:
        """Return how many jobs have not ended: waiting, running, or dead."""
        return int(self.redis.hlen(f"jobq:{{{queue}}}:index"))

    def wait_empty(self, queue: str = "default", dead: int = 0, timeout: float = PATIENCE) -> None:
        """Wait until nothing is left in a queue but dead letters."""

        def is_empty() -> bool:
            seen = self.app.store.run(count(queue))
            left = (seen.ready, seen.running, seen.retrying + seen.delayed, seen.dead)
            return left == (0, 0, 0, dead)

        wait_until(is_empty, f"the queue {queue} is empty but for {dead} dead letters", timeout)

    def succeeded(self, queue: str = "default") -> int:
        """Return how many jobs of a queue have succeeded."""
        return self.app.store.run(count(queue)).totals["succeeded"]

    def dead(self) -> list[dict[str, Any]]:
        """Return what ``jobq dlq list`` lists."""
        said = self.start("jobq", "dlq", "list", "--limit", "10000", "--json").check(PATIENCE)
        return list(json.loads(said))

    def pending(self, stream: str, consumer: str = "") -> list[tuple[bytes, bytes, int, int]]:
        """Return the pending entries of a stream: entry, consumer, idle ms, delivery count."""
        words = ("XPENDING", f"jobq:{{default}}:{stream}", "jobq", "-", "+", 10000)
        return [tuple(row) for row in self.server.cli(*words, *([consumer] if consumer else []))]

    def _at_least(self, word: str, many: int) -> list[list[str]]:
        found = self.traced(word)
        return found if len(found) >= many else []


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live, zombies too."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        if PROC:
            said = listing.read_text(encoding="ascii")
        else:
            found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False)
            said = found.stdout.decode()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in said.split()]


def alive(pid: int) -> bool:
    """Tell whether a process lives; one that only waits to be buried does not."""
    try:
        if PROC:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
            return stat.rsplit(")")[1][1] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), f"process {pid} is gone")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used (Linux)."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")")[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def once_each(many: int) -> Counter[int]:
    """Return what `Ground.ran` says when each of so many jobs has run once."""
    return Counter(range(many))
