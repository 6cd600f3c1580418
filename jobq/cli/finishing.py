"""What `jobq worker` says while it stops: how many jobs it finishes, and how long they have."""

import contextlib
import logging
import math
import os
import sys
from collections.abc import Callable
from typing import Final

import click

from jobq.core.clock import Clock, SystemClock
from jobq.core.duration import show

log = logging.getLogger("jobq.supervisor")

#: Seconds between two lines where there is no terminal on which one can be written over.
SELDOM: Final = 5.0

#: The running jobs and the seconds they still have; None: all have ended.
Progress = tuple[int, float] | None


def finishing(log_format: str) -> Callable[[Progress], None]:
    """Return what tells of a stop, on a terminal, in text or in the logs."""
    if log_format == "json":
        return Lines(log.warning)
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return OnTerminal()
    return Lines(_echo)


class OnTerminal:
    """Writes one line over and over, each second, and wipes it away at the end."""

    def __init__(self) -> None:
        self._shown = ""

    def __call__(self, progress: Progress) -> None:
        """Tell how far it is."""
        text = "" if progress is None or not progress[0] else sentence(*progress)
        if text != self._shown:
            self._shown = text
            # Back to the start of the line: a log line that comes now is written over this.
            _write(f"\r{text}\x1b[K\r")


class Lines:
    """Writes a line at the start and whenever another job has ended, but not too often.

    Args:
        write: takes a line.
    """

    def __init__(self, write: Callable[[str], object], clock: Clock = SystemClock()) -> None:
        self._write = write
        self._clock = clock
        self._running = -1
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        """Tell how far it is."""
        if progress is None or progress[0] == self._running:
            return
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._running, self._next = progress[0], now + SELDOM
        self._write(f"stopping: {sentence(*progress)}" if progress[0] else "stopping")


def sentence(running: int, left: float) -> str:
    """Say what is going on: ``finishing 3 jobs, 12 s left; again to give them back``."""
    jobs, them = ("1 job", "it") if running == 1 else (f"{running:,} jobs", "them")
    return f"finishing {jobs}, {show(math.ceil(left))} left; again to give {them} back"


def _echo(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: that must not end the supervisor
        click.echo(text, err=True)
        sys.stderr.flush()


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
