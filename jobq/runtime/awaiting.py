"""How coroutines wait for the thread of the reporter; a module of its own, for it needs asyncio."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from jobq.errors import StoreUnavailable


async def answer_of(ask: Callable[[Callable[[object], None]], None], longest: float) -> object:
    """Ask for something and wait for it, for so many seconds. See `jobq.runtime.inside`.

    Raises:
        JobqError: what it came to.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[object] = loop.create_future()

    def answer(found: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_settle, future, found)

    ask(answer)
    try:
        async with asyncio.timeout(longest):
            found = await future
    except TimeoutError:
        raise StoreUnavailable("Redis did not take the reports of the job in time") from None
    if isinstance(found, Exception):
        raise found
    return found


def _settle(future: "asyncio.Future[object]", found: object) -> None:
    if not future.done():  # the job may have been cancelled meanwhile
        future.set_result(found)
