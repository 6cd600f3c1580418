"""How long things may take: outcomes before they are settled, jobs before they are ended.

A job in the main thread is interrupted by what a signal handler raises. That must happen in the
job, and neither in what surrounds it nor in the next one.
"""

import signal
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Final

from jobq.core.clock import Clock
from jobq.errors import JobTimedOut
from jobq.runtime.board import Board
from jobq.runtime.delivery import Delivery

#: Seconds after which an outcome is in Redis at the latest, if Redis is there.
FLUSH: Final = 0.010

#: Seconds that a job may run before those behind it are given back.
PATIENCE: Final = 0.050

#: Seconds between looks whether the queues are empty, in a burst.
BURST_LOOK: Final = 0.2

#: Seconds that a worker which ends tries to reach Redis for the outcomes that it still has.
FAREWELL: Final = 5.0


class Limits:
    """Keeps the limits of jobs that have some.

    Args:
        grace: seconds, see `Policy.kill_after`.
    """

    def __init__(self, board: Board, clock: Clock, grace: float) -> None:
        self._board = board
        self._clock = clock
        self._grace = grace

    def begin(self, delivery: Delivery) -> None:
        """Tell the supervisor when it shall kill this process, if the job still runs then."""
        after = delivery.policy.kill_after(self._grace)
        if after is not None:
            self._board.must_end(delivery.place, self._clock.monotonic() + after)

    def end(self, delivery: Delivery) -> None:
        """Tell it that the job has ended."""
        self._board.must_end(delivery.place, 0.0)

    def call(self, function: Callable[[Delivery], object], delivery: Delivery) -> object:
        """Run a job in the main thread, and end it there when its time is over.

        A job that catches JobTimedOut, or that never returns from C code, is not ended by it.

        Raises:
            JobTimedOut: its time was over.
        """
        self.begin(delivery)
        try:
            return _Alarm(delivery).call(function)
        finally:
            self.end(delivery)


class _Alarm:
    """The time limit of one job in the main thread, and the gate for all that interrupts it."""

    __slots__ = ("delivery", "is_open", "_rang")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        #: The job runs: only now may anything be raised.
        self.is_open = False
        self._rang = False

    def call(self, function: Callable[[Delivery], object]) -> object:
        timeout = self.delivery.policy.timeout
        if timeout is None:
            return self._through_gate(function)
        before = signal.signal(signal.SIGALRM, self._ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, timeout)
            return self._through_gate(function)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, before)

    def _through_gate(self, function: Callable[[Delivery], object]) -> object:
        try:
            self.is_open = True
            if self._rang:  # while the gate was still closed
                self._raise()
            return function(self.delivery)
        finally:
            self.is_open = False

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        self._rang = True
        if self.is_open:
            self._raise()

    def _raise(self) -> None:
        assert self.delivery.policy.timeout is not None
        raise JobTimedOut(self.delivery.policy.timeout)


_LIMITED: Final = Limits.call.__code__
_GATE: Final = _Alarm._through_gate.__code__  # noqa: SLF001  our own


def interrupted(frame: FrameType | None, code: CodeType, owner: object) -> Delivery | None:
    """Return the job in which a signal has come, if something may be raised in it here.

    Costs the jobs nothing: the frames of the main thread say what it does.

    Args:
        frame: where the signal came.
        code: of the method of ``owner`` that calls job functions; its ``delivery`` is the job.
    """
    while frame is not None:
        if frame.f_code is _GATE:
            alarm = frame.f_locals["self"]
            return alarm.delivery if alarm.is_open else None
        if frame.f_code is _LIMITED:  # before the gate, or behind it
            return None
        if frame.f_code is code and frame.f_locals["self"] is owner:
            found = frame.f_locals["delivery"]
            return found if isinstance(found, Delivery) else None
        frame = frame.f_back
    return None
