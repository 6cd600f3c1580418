"""How a supervisor is stopped: asked once, asked again, or out of time."""

import os
import signal
from typing import Final

from jobq.core.clock import Clock

#: Exit codes after work was cut short, by the convention of shells: 128 + signal.
CUT_SHORT: Final = 128

#: Seconds after the grace in which workers that run no job may still give back what they hold.
LAST: Final = 2.0

#: Seconds that a supervisor that is asked to stop goes on waiting for Redis.
IMPATIENT: Final = 0.5

#: Seconds for the last words to Redis: when there is no time left, and else.
LAST_WORDS: Final = (1.0, 4.0)


class Stopping:
    """Who asked the supervisor to stop, when, and how much time is left.

    Args:
        grace: seconds that jobs have to finish.
    """

    def __init__(self, grace: float, clock: Clock) -> None:
        self._grace = grace
        self._clock = clock
        self._asked: list[int] = []
        self._began = 0.0

    @property
    def asked(self) -> bool:
        """Whether it was asked to stop."""
        return bool(self._asked)

    @property
    def now(self) -> bool:
        """Whether it was asked again: jobs are to be given back and not finished."""
        return len(self._asked) > 1

    @property
    def left(self) -> float:
        """Seconds that are left of the grace; negative when it is over."""
        return self._began + self._grace - self._clock.monotonic()

    @property
    def code(self) -> int:
        """The exit code when work is cut short."""
        return CUT_SHORT + self._asked[0]

    def ask(self, number: int) -> None:
        """Ask to stop, as a signal does; safe in its handler."""
        if not self._asked:
            self._began = self._clock.monotonic()
            # SIGALRM ends a wait for Redis in which this, or the end of the grace, would be missed.
            signal.setitimer(signal.ITIMER_REAL, IMPATIENT)
        self._asked.append(number)


class Terminal:
    """The terminal that the supervisor was started on, if there is one.

    SIGHUP means "restart", and also "the terminal is gone": then it is a stop.
    """

    def __init__(self) -> None:
        # nohup ignores the signal: whoever sends it later wants a restart.
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        self._had = not ignored and _is_there()

    @property
    def is_gone(self) -> bool:
        """Whether there was one and it has been closed."""
        return self._had and not _is_there()


def _is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
