"""Wait for a fact, never for a while: the one place where tests sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

#: Seconds before the second look. Local facts come true within milliseconds.
FIRST_PAUSE = 0.002
#: Seconds between looks in the long run: polite to the two cores that also do the work.
LONGEST_PAUSE = 0.05


def wait_until(fact: Callable[[], T | None], what: str, timeout: float = 10.0) -> T:
    """Look at `fact` until it is true, and return what it said.

    Args:
        fact: asked again and again; its first truthy answer ends the wait.
        what: the fact in words, for the failure: ``"the worker took the job"``.
        timeout: seconds until the wait is given up.

    Raises:
        AssertionError: it did not come true in time; tells the last answer.
    """
    patience = _Patience(what, timeout)
    while not (answer := fact()):
        time.sleep(patience.pause(answer))
    return answer


@overload
async def await_until(fact: Callable[[], Awaitable[T]], what: str, timeout: float = 10.0) -> T: ...
@overload
async def await_until(fact: Callable[[], T], what: str, timeout: float = 10.0) -> T: ...
async def await_until(fact: Callable[[], object], what: str, timeout: float = 10.0) -> object:
    """See `wait_until`; `fact` may be a coroutine function."""
    patience = _Patience(what, timeout)
    while True:
        asked = fact()
        answer = await asked if inspect.isawaitable(asked) else asked
        if answer:
            return answer
        await asyncio.sleep(patience.pause(answer))


class _Patience:
    """Pauses that grow until the time is up; the last look comes after the deadline."""

    def __init__(self, what: str, timeout: float) -> None:
        self._what = what
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._next = FIRST_PAUSE
        self._late = False

    def pause(self, seen: object) -> float:
        """Tell how long to wait before the next look; `seen` is what the last one saw."""
        if self._late:
            raise AssertionError(
                f"waited {self._timeout:g} s in vain until {self._what}; last seen: {seen!r}"
            )
        left = self._deadline - time.monotonic()
        self._late = left <= self._next
        pause = max(0.0, min(left, self._next))
        self._next = min(self._next * 1.5, LONGEST_PAUSE)
        return pause
