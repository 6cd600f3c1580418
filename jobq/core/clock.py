"""The one reader of time: everything else in the core takes time as an argument."""

import time
from typing import TYPE_CHECKING, Protocol


class Clock(Protocol):
    """Where the time comes from; tests bring their own."""

    def time(self) -> float:
        """Return the wall clock in seconds since 1970, for what is stored."""
        ...

    def monotonic(self) -> float:
        """Return a clock in seconds that never jumps, for differences only."""
        ...


_monotonic = time.monotonic  # inside the class, `time` is the method


class SystemClock:
    """The clock of this machine."""

    __slots__ = ()

    def time(self) -> float:
        """Return the wall clock in seconds since 1970."""
        return time.time()

    if TYPE_CHECKING:

        def monotonic(self) -> float:
            """Return a clock in seconds that never jumps."""
            ...
    else:  # the function itself: it is called for every job, and one call more would be felt
        monotonic = staticmethod(_monotonic)
