"""A process beside the workers: what `jobq worker` does besides, such as showing its metrics.

Guarantees:
    * it ends with its supervisor, however that ends;
    * it is started again when it dies, and its end touches no worker.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, Protocol

from jobq.core.clock import Clock

log = logging.getLogger("jobq.supervisor")

#: Seconds before it is started again after it died: doubled each time, up to the last.
RESTART: Final = (0.5, 30.0)

#: Seconds of life after which its next death counts as the first.
LONG_LIFE: Final = 60.0

#: Signals that a terminal or an init system sends to all processes: it obeys only its supervisor,
#: so that the metrics tell of workers that drain.
_DEAF: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
#: What the supervisor catches, and a child must not.
_DEFAULT: Final = (signal.SIGCHLD, signal.SIGALRM)


class Duty(Protocol):
    """What the process does."""

    def run(self, url: str, is_over: Callable[[], bool]) -> int:
        """Do it until it is over, in the process of its own; return the exit code.

        Args:
            url: of the Redis of the workers.
            is_over: tells whether the supervisor has ended; to be asked twice a second or so.
        """
        ...

    def forget(self) -> None:
        """In a worker: close what only that process is to hold, such as a listening socket."""
        ...


class Aside:
    """Keeps one process beside the workers.

    Args:
        duty: what it does; None: there is none.
        clock: measures how long it lives.
    """

    def __init__(self, duty: Duty | None, clock: Clock) -> None:
        self._duty = duty
        self._clock = clock
        self._url = ""
        self._pid = 0
        self._born = 0.0
        self._start_at: float | None = None
        self._pause = RESTART[0]

    def begin(self, url: str) -> None:
        """Let it start with the next `look`; a second call changes nothing.

        Args:
            url: of the Redis of the workers.
        """
        if not self._url:
            self._url = url
            self._start_at = self._clock.monotonic()

    def look(self, leave: Callable[[], None]) -> None:
        """Start it, if its time has come.

        Args:
            leave: in the new process, closes what belongs to the supervisor.
        """
        now = self._clock.monotonic()
        if self._duty is not None and self._start_at is not None and now >= self._start_at:
            self._start_at = None
            self._born = now
            self._pid = _fork(self._duty, self._url, leave)

    def ended(self, pid: int, end: object) -> None:
        """Take note of a child of the supervisor that has ended, if it was this one.

        Args:
            end: how, in words.
        """
        if pid != self._pid:
            return
        self._pid = 0
        now = self._clock.monotonic()
        if now - self._born > LONG_LIFE:
            self._pause = RESTART[0]
        log.warning("metrics process died pid=%d end=%s next_in=%.1fs", pid, end, self._pause)
        self._start_at = now + self._pause
        self._pause = min(RESTART[1], 2 * self._pause)

    def forget(self) -> None:
        """In a worker: close what only the process aside is to hold."""
        if self._duty is not None:
            self._duty.forget()

    def stop(self) -> None:
        """Kill it: it has nothing to lose."""
        self._start_at = None
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)  # not reaped yet, so the number is still its own


def _fork(duty: Duty, url: str, leave: Callable[[], None]) -> int:
    """Start the process; returns its id in the supervisor, and never in the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    supervisor = os.getpid()
    # A signal that came before the child has forgotten our handlers would be lost in them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_DEAF, *_DEFAULT))
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in _DEAF:
            signal.signal(number, signal.SIG_IGN)
        for number in _DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        leave()
        code = duty.run(url, lambda: os.getppid() != supervisor)
    except BaseException:
        log.exception("failed metrics process")
    finally:
        # Not sys.exit: above us are the frames of the supervisor, which are not ours to unwind.
        logging.shutdown()
        os._exit(code)
