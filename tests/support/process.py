"""Child processes whose output is captured line by line and can be waited for."""

import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from tests.support.wait import wait_until

#: The command line without its installed script, for a tree that is merely on the path.
RUN_MAIN = "import sys; sys.argv[0] = 'jobq'; from jobq.cli.main import main; sys.exit(main())"


def jobq_command() -> list[str]:
    """Tell how to start jobq's command line: the installed script, else its module."""
    script = Path(sysconfig.get_path("scripts")) / "jobq"
    return [str(script)] if script.exists() else [sys.executable, "-c", RUN_MAIN]


class Child:
    """A running program.

    Args:
        words: program and arguments; ``"jobq"`` and ``"python"`` are those of this environment.
        cwd: where it runs.
        env: variables over those of the tests.

    Attributes:
        lines: what it said so far, stdout and stderr as they came, without line ends.
        out: what it said on stdout.
        err: what it said on stderr.
    """

    def __init__(
        self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> None:
        programs = {"jobq": jobq_command(), "python": [sys.executable]}
        self.command = [*programs.get(words[0], [words[0]]), *words[1:]]
        self.lines: list[str] = []
        self.out: list[str] = []
        self.err: list[str] = []
        self._process = subprocess.Popen(
            self.command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "120", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a Ctrl-C of the developer is ours to pass on
        )
        self._readers = [
            threading.Thread(target=self._read, args=pair, daemon=True)
            for pair in ((self._process.stdout, self.out), (self._process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        """Return itself: it runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill it and all that it started, if that is still there."""
        self.kill_group()
        self.wait()

    @property
    def pid(self) -> int:
        """The process id, which is also that of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._process.poll() is None

    @property
    def text(self) -> str:
        """All that it said so far."""
        return "\n".join(self.lines)

    def wait_for_line(self, pattern: str, timeout: float = 10.0) -> re.Match[str]:
        """Wait until a line matches the regular expression, and return the match.

        Raises:
            AssertionError: no such line in time, or it ended without one; tells what it said.
        """
        expression = re.compile(pattern)

        def said() -> re.Match[str] | Literal["ended"] | None:
            over = not self.running
            if over:
                self._join()
            found = next(filter(None, map(expression.search, list(self.lines))), None)
            return found or ("ended" if over else None)

        found: re.Match[str] | Literal["ended"]
        try:
            found = wait_until(said, f"a line matches {pattern!r}", timeout)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self._story()}") from None
        if isinstance(found, str):
            story = self._story()
            raise AssertionError(  # noqa: TRY004  an end, not a wrong type
                f"ended without a line that matches {pattern!r}\n{story}"
            )
        return found

    def wait(self, timeout: float = 10.0) -> int:
        """Wait for its end; returns its exit code (negative: the signal that ended it).

        Raises:
            AssertionError: it did not end in time; tells what it said.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs after {timeout:g} s\n{self._story()}") from None
        self._join()
        return code

    def check(self, timeout: float = 10.0) -> str:
        """Wait for its end, which must be a success, and return its stdout."""
        code = self.wait(timeout)
        assert code == 0, f"exit code {code}\n{self._story()}"
        return "\n".join(self.out)

    def signal(self, number: int) -> None:
        """Send it a signal; nothing if it has ended."""
        if self.running:
            self._process.send_signal(number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL: it alone dies, its children must notice by themselves."""
        self.signal(signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill it and all of its children that stayed in its session."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # macOS says EPERM of a group of which only a zombie is left

    def _read(self, stream: IO[str], own: list[str]) -> None:
        with stream:
            for line in stream:
                own.append(line.rstrip("\n"))
                self.lines.append(line.rstrip("\n"))

    def _join(self) -> None:
        # Not for ever: a grandchild may hold the pipe open.
        for reader in self._readers:
            reader.join(timeout=2)

    def _story(self) -> str:
        state = "running" if self.running else f"exit code {self._process.returncode}"
        return f"$ {' '.join(self.command)}   ({state})\n{self.text}"
