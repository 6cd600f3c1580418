"""The asyncio side of a producer; imported when something is awaited for the first time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from jobq.client.durable import confirm
from jobq.client.waiting import Waiting
from jobq.core.checks import Durability
from jobq.core.clock import Clock, SystemClock
from jobq.store import keys
from jobq.store.aio import AsyncStore
from jobq.store.connect import Locate
from jobq.store.ops.inspect import look, result
from jobq.store.sync import Store
from jobq.store.wire import Op

T = TypeVar("T")


class AsyncSide:
    """Redis for event loops, and how to wait there.

    Attributes:
        store: one connection for each loop.
    """

    def __init__(self, locate: Locate) -> None:
        self.store: AsyncStore = AsyncStore(locate)

    async def confirm(
        self, store: Store, queue: str, job_ids: tuple[str, ...], wanted: Durability
    ) -> None:
        """Wait until calls are on replicas or on disk. See `jobq.client.durable.confirm`.

        In a thread: on the loop's own connection, it would hold up everybody else.
        """
        await asyncio.to_thread(confirm, store, queue, job_ids, wanted)

    async def run_all(self, ops: Sequence[Op[T]]) -> "list[T | BaseException]":
        """Run ops that are on their way at once, in this order; an answer may be an exception."""
        return await asyncio.gather(*map(self.store.submit, ops), return_exceptions=True)

    async def happens(self, event: asyncio.Event, seconds: float) -> bool:
        """Wait until an event is set, for so many seconds; tell whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        return event.is_set()

    async def wait(
        self, queue: str, job_id: str, waiting: Waiting, clock: Clock = SystemClock()
    ) -> object:
        """Wait for a result. See `jobq.client.blocking.wait`."""
        store = self.store
        event = store.watch(keys.result(queue, job_id))
        try:
            while True:
                event.clear()
                ended = waiting.of_result(await store.run_watched(result(queue, job_id)))
                if ended is None and waiting.must_look(clock.monotonic()):
                    seen = await store.run(look(queue, job_id))
                    ended = waiting.of_look(seen.state, seen.result, seen.letter, clock.monotonic())
                if ended is not None:
                    return ended.value
                await self.happens(event, waiting.pause(clock.monotonic()))
        finally:
            store.unwatch(keys.result(queue, job_id), event)
