"""How a job in a thread is interrupted: an exception is raised in it from outside.

`PyThreadState_SetAsyncExc` raises in whatever a thread does, so it must not come when the job has
ended, and the thread does something else. The id of the thread stands in a cell of memory that
the call itself reads, and the thread clears it when the job has ended: both are single steps
under Python's lock, so that no lock of ours is needed, which an exception could leave locked.
"""

import ctypes
import threading
from typing import Final

from jobq.errors import JobTimedOut
from jobq.runtime.delivery import Delivery

_raise: Final = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise.argtypes = (ctypes.c_ulong, ctypes.py_object)
_raise.restype = ctypes.c_int


class _Closed(BaseException):
    """Drives out what is on its way to a thread."""


class Gate:
    """The way into one job that this thread runs.

    Something can be raised in it once, and never after `close`. Once, so that whoever catches it
    knows that no second one can follow.

    Args:
        deadline: monotonic seconds after which its time is over; infinite: it has no timeout.
    """

    __slots__ = ("deadline", "delivery", "_thread", "_used")

    def __init__(self, delivery: Delivery, deadline: float) -> None:
        self.delivery = delivery
        self.deadline = deadline
        self._thread = ctypes.c_ulong(threading.get_ident())
        self._used = False

    def interrupt(self, error: type[BaseException]) -> bool:
        """Raise an exception in the job; from one and the same other thread.

        It comes when the job returns to Python code: not while it sleeps or reads a socket.

        Returns:
            Whether it will come.
        """
        if self._used:
            return False
        self._used = True
        return bool(_raise(self._thread, error))

    def close(self) -> None:
        """Let nothing in any more, and drop what is on its way; in the thread of the job.

        What is on its way may still be raised out of this very call.
        """
        self._thread.value = 0  # what interrupts now finds no thread
        if not self._used:
            return
        # Raising nothing would do too, but would leave Python in the belief that something is to
        # be raised: slower from then on, and stuck as soon as a tracer is set (3.11).
        try:
            _raise(threading.get_ident(), _Closed)
            while True:
                pass
        except _Closed:
            pass


def timed_out(seconds: float) -> type[JobTimedOut]:
    """Return a JobTimedOut that is made without arguments: only a class can be raised in a thread.

    To users it is the same: its name, its message and its ``seconds``.
    """

    def init(self: JobTimedOut) -> None:
        JobTimedOut.__init__(self, seconds)

    return type("JobTimedOut", (JobTimedOut,), {"__init__": init, "__module__": "jobq.errors"})
