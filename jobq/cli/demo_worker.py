"""A real `jobq worker`, as a process of the demo's own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jobq.client.where import VARIABLE

PROCESSES: Final = 2

#: Seconds that a worker gets to end: by itself when the queues are empty, after the first and
#: after the second signal.
IDLE, FIRST, SECOND = 10.0, 0.3, 5.0
#: Lines of its log that are shown where something went wrong.
QUOTED: Final = 20


def jobq_words(*words: str) -> list[str]:
    """Return the command line that runs this very jobq."""
    # -P: a file in the current directory must not stand in for a module.
    return [sys.executable, "-P", "-m", "jobq", *words]


def jobq_environment(url: str, **more: str) -> Mapping[str, str]:
    """Return the environment in which it uses a Redis: no password stands on a command line."""
    # It runs in another directory, from where relative entries would lead nowhere.
    path = os.pathsep.join(map(os.path.abspath, _entries(os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, VARIABLE: url, **more}
    return {**environment, "PYTHONPATH": path} if path else environment


def _entries(path: str | None) -> list[str]:
    return path.split(os.pathsep) if path else []


class DemoWorker:
    """The worker. It ends by itself when the queues are empty, even if the demo was killed.

    Args:
        url: of the Redis.
        queues: those it reads, the first one first.
        folder: where it runs, and its log goes.
        name: by which Redis knows it.
    """

    def __init__(self, url: str, queues: Sequence[str], folder: Path, name: str) -> None:
        self._log = folder / "worker.log"
        words = jobq_words("worker", "--app", "jobq.cli.demo_jobs:make_app()", "--burst")
        words += ["--processes", str(PROCESSES), "--name", name]
        words += [word for queue in queues for word in ("--queue", queue)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                cwd=folder,
                env=jobq_environment(url),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which tells the worker
            )

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    def finish(self) -> int:
        """Wait until it has seen that nothing is left to do; returns its exit code."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(IDLE)
        self.end()
        return self._process.returncode

    def end(self) -> None:
        """End it and its processes, whatever they do; nothing if it has ended."""
        for patience in (FIRST, SECOND):
            if not self.running:
                return
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        if self.running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def said(self) -> str:
        """Return the last lines of its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-QUOTED:])
