"""How the threads of a job wait for the thread that takes its reports to Redis.

Without a lock of ours: a signal or a timeout can end a job at any place, also in here.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Final, TypeVar, cast

from jobq.errors import StoreUnavailable

T = TypeVar("T")

#: Seconds after which a job waits no longer, whatever the other thread does.
LONGEST: Final = 30.0

#: Takes what something came to: a value, or an exception.
Answer = Callable[[object], None]

#: Asks for something; the answer is called once, from another thread.
Ask = Callable[[Answer], None]


def wait(ask: Ask) -> object:
    """Ask for something and wait for it.

    Raises:
        JobqError: what it came to.
    """
    box: SimpleQueue[object] = SimpleQueue()
    ask(box.put)
    try:
        found = box.get(timeout=LONGEST)
    except Empty:
        found = StoreUnavailable("Redis did not take the reports of the job in time")
    if isinstance(found, Exception):
        raise found
    return found


async def wait_async(ask: Ask) -> object:
    """See `wait`."""
    # asyncio costs 10 MB, which workers of sync jobs do not pay.
    late = import_module("jobq.runtime.awaiting")
    waits = cast("Callable[[Ask, float], Awaitable[object]]", late.answer_of)
    return await waits(ask, LONGEST)


def drain(things: "deque[T]") -> list[T]:
    """Take out what is there; a thread may append meanwhile."""
    taken: list[T] = []
    try:
        while True:
            taken.append(things.popleft())
    except IndexError:
        return taken
