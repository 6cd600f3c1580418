"""Where `jobq bench` works: queues and processes of its own, and nothing left of them afterwards.

Guarantees:
    * queues have names that no other bench has, so that two can run at once;
    * all of it is cleared away after an error and Ctrl-C too, and after SIGTERM and SIGHUP inside
      `signals_end_us`; after SIGKILL the processes end by themselves, and the queues stay.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import click

from jobq.cli.bench_app import SyncJobs, sync_jobs
from jobq.cli.bench_async_app import AsyncJobs, async_jobs
from jobq.cli.bench_gate import Gate
from jobq.client.where import VARIABLE
from jobq.core.clock import SystemClock
from jobq.store.address import parse_url
from jobq.store.bare.producer import BareProducer
from jobq.store.bare.server import clear_away
from jobq.store.sync import Store

#: Seconds that a worker may take to end; then it is killed.
_GOODBYE: Final = 5.0

#: Lines of what a worker said, for the message when it ended.
_LAST_LINES: Final = 5


class Process:
    """A worker in a process of its own, out of reach of Ctrl-C.

    Args:
        what: it is, for messages.
        words: arguments of Python.
        url: of its Redis.
        folder: for what it says.
    """

    def __init__(self, what: str, words: list[str], url: str, folder: Path) -> None:
        self._what = what
        self._log = folder / f"{what.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.PIPE,  # whose end tells it that we are gone, see bench_gate.leash
                stdout=log,
                stderr=log,
                env={**os.environ, VARIABLE: url},
                start_new_session=True,
            )

    def check(self) -> None:
        """See that it still lives.

        Raises:
            click.ClickException: it does not; with the last that it said.
        """
        code = self._process.poll()
        if code is None:
            return
        said = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]
        raise click.ClickException("\n".join((f"the {self._what} ended with {code}", *said)))

    def ask_to_end(self) -> None:
        """Let it stop."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Wait for its end; after a while, kill it and its children."""
        try:
            self._process.wait(_GOODBYE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


class Lab:
    """Everything that a bench needs; a context that leaves nothing behind.

    Args:
        url: of a Redis that is there.

    Attributes:
        clock: measures what happens in this process.
        store: Redis, for questions.
        gate: where jobs report.
        loose: job functions of a queue that no worker reads.
        bare_loose: the bare stream for the same.
        jobs: job functions of the queue that `worker` reads.
        bare: the bare stream that `bare_worker` reads.
        naps: job functions of the queue that `async_worker` reads.
    """

    def __init__(self, url: str) -> None:
        self.clock = SystemClock()
        self.prefix = f"bench-{secrets.token_hex(5)}"
        address = parse_url(url)
        self._url = url
        self._folder = Path(tempfile.mkdtemp(prefix="jobq-"))
        self.store = Store(lambda: address)
        self.gate = Gate(self._folder)
        self.loose: SyncJobs = sync_jobs(url, f"{self.prefix}-loose")
        self.jobs: SyncJobs = sync_jobs(url, f"{self.prefix}-jobs")
        self.naps: AsyncJobs = async_jobs(url, f"{self.prefix}-naps")
        self.bare_loose = BareProducer(address, self.loose.noop.queue + "-bare", self.clock)
        self.bare = BareProducer(address, self.jobs.noop.queue + "-bare", self.clock)
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        """Start the workers; what they run, they wait for."""
        try:
            self.worker = self._start("worker", self._worker("bench_app", self.jobs.noop.queue))
            self.bare_worker = self._start(
                "bare worker", ["-m", "jobq.cli.bench_bare", self.bare.queue]
            )
            self.async_worker = self._start(
                "async worker", self._worker("bench_async_app", self.naps.nap.queue)
            )
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the workers and clear everything away."""
        self._leave()

    def _worker(self, module: str, queue: str) -> list[str]:
        return [
            "-m", "jobq", "worker", "-A", f"jobq.cli.{module}:worker_app()", "-q", queue,
            "--processes", "1", "--name", queue,
        ]  # fmt: skip

    def _start(self, what: str, words: list[str]) -> Process:
        process = Process(what, words, self._url, self._folder)
        self._processes.append(process)
        return process

    def _leave(self) -> None:
        # A second Ctrl-C must not leave half of it behind; all that follows takes seconds at most.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.gate.close()
            for process in self._processes:
                process.ask_to_end()
            for process in self._processes:
                process.end()
            queues = [self.loose.noop.queue, self.jobs.noop.queue, self.naps.nap.queue]
            clear_away(self.store, queues, queues, self.prefix)
        finally:
            for producer in (self.bare_loose, self.bare):
                producer.close()
            for app in (self.loose.app, self.jobs.app, self.naps.app):
                app.close()
            self.store.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            signal.signal(signal.SIGINT, before)


@contextmanager
def signals_end_us() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what runs as Ctrl-C does, so that it is cleared away.

    Raises:
        SystemExit: one of them came; with the exit code that shells expect.
    """
    came = []

    def leave(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)  # event loops take that one well

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt:
        if came:
            sys.exit(128 + came[0])
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
