"""Redis for event loops: one connection for each loop, and who waits for which key to change."""

import asyncio
from typing import TypeVar

from jobq.store.connect import Locate
from jobq.store.connection import PATIENCE
from jobq.store.joining import Joining
from jobq.store.multiplex import AsyncConnection
from jobq.store.wire import Op, nothing

T = TypeVar("T")


class AsyncStore:
    """Redis for event loops: one connection for each loop. See `Store`."""

    def __init__(self, locate: Locate, *, patience: float = PATIENCE) -> None:
        self._locate = locate
        self._patience = patience
        self._by_loop: dict[asyncio.AbstractEventLoop, _Shared] = {}

    async def run(self, op: Op[T]) -> T:
        """Run an op. See `AsyncConnection.run`."""
        return await self.submit(op)

    def submit(self, op: Op[T]) -> "asyncio.Future[T]":
        """Send an op; the future has its answer. See `AsyncConnection.submit`."""
        shared = self._shared()
        return (shared.joining if op.joins else shared.connection).submit(op)

    async def run_watched(self, op: Op[T]) -> T:
        """Run an op that reads a key, of whose changes `watch` shall tell."""
        connection = self._shared().connection
        caching = connection.submit(Op(("CLIENT", "CACHING", "YES"), nothing))
        answer: T = await connection.submit(op)
        await caching
        return answer

    def watch(self, *watched: str) -> "asyncio.Event":
        """Return an event that is set when one of these keys changes after it was read.

        By `run_watched`, that is.
        """
        return self._shared().watch(watched)

    def unwatch(self, key: str, event: "asyncio.Event") -> None:
        """Forget an event of `watch`."""
        self._shared().unwatch(key, event)

    async def close(self) -> None:
        """Close the running loop's connection; the store can be used again."""
        shared = self._by_loop.pop(asyncio.get_running_loop(), None)
        if shared is not None:
            shared.joining.flush()  # or it would open the connection again
            await shared.connection.close()

    def _shared(self) -> "_Shared":
        loop = asyncio.get_running_loop()
        shared = self._by_loop.get(loop)
        if shared is None:
            for old in [old for old in self._by_loop if old.is_closed()]:
                del self._by_loop[old]
            shared = self._by_loop[loop] = _Shared(self._locate, self._patience)
        return shared


class _Shared:
    """The connection of one loop, and who waits for which key to change."""

    def __init__(self, locate: Locate, patience: float) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self.connection = AsyncConnection(
            locate, patience=patience, resp3=True, on_invalidated=self._changed
        )
        self.joining = Joining(self.connection)

    def watch(self, watched: tuple[str, ...]) -> asyncio.Event:
        event = asyncio.Event()
        for key in watched:
            self._watchers.setdefault(key, set()).add(event)
        return event

    def unwatch(self, key: str, event: asyncio.Event) -> None:
        events = self._watchers.get(key)
        if events is not None:
            events.discard(event)
            if not events:
                del self._watchers[key]

    def _changed(self, keys: list[str] | None) -> None:
        for key in list(self._watchers) if keys is None else keys:
            for event in self._watchers.get(key, ()):
                event.set()
