"""Enqueues of one turn of an event loop, sent as one: fifty at once cost little more than one.

A script call costs Redis some 15 us, a job in it 3: whoever enqueues from many coroutines gets
the price of a bulk. All or none of what is joined is added, under one number of the lane.
"""

import asyncio
import copy
from typing import Any, Final, TypeVar

from jobq.store.multiplex import AsyncConnection
from jobq.store.wire import Op, Word

T = TypeVar("T")

#: Bytes after which another op is begun: Redis does nothing else while it adds them.
MOST_BYTES: Final = 1024 * 1024

#: Ops in one: far below the 8,000 values that Lua can unpack.
MOST_OPS: Final = 1000


class _Group:
    """Ops that are alike up to where the lane stands, and who waits for each."""

    __slots__ = ("futures", "op", "size", "tail")

    def __init__(self, op: Op[Any]) -> None:
        self.op = op
        self.tail: list[Word] = []
        self.futures: list[asyncio.Future[Any]] = []
        self.size = 0

    def share(self, answered: "asyncio.Future[Any]") -> None:
        """Give each its share of the answer: it was one of those added, or one of a resend."""
        error = None if answered.cancelled() else answered.exception()
        share = None if error or answered.cancelled() else self.op.parse(min(1, answered.result()))
        for future in self.futures:
            if future.done():  # whoever waited was cancelled
                continue
            if share is not None:
                future.set_result(share)
            elif error is None:
                future.cancel()
            else:  # each its own: a traceback grows wherever it is raised
                future.set_exception(copy.copy(error))


class Joining:
    """Joins ops on their way to a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._groups: dict[tuple[Word, Word], _Group] = {}

    def submit(self, op: Op[T]) -> "asyncio.Future[T]":
        """Send an op, together with others of this turn that are alike. See `AsyncConnection`."""
        words, at = op.words, op.stamp_at
        alike = words[1], words[3]  # the script, and the first of its keys: all are of one queue
        group = self._groups.get(alike)
        if group is None:
            if not self._groups:
                self._loop.call_soon(self.flush)
            group = self._groups[alike] = _Group(op)
        group.tail += words[at:]
        group.size += len(words[-1])  # type: ignore[arg-type]  # the call: what can be large
        future: asyncio.Future[T] = self._loop.create_future()
        group.futures.append(future)
        if len(group.futures) >= MOST_OPS or group.size >= MOST_BYTES:
            self._send_group(self._groups.pop(alike))
        return future

    def flush(self) -> None:
        """Send what is still here."""
        groups, self._groups = self._groups, {}
        for group in groups.values():
            self._send_group(group)

    def _send_group(self, group: _Group) -> None:
        op = group.op
        words = (*op.words[: op.stamp_at], *group.tail)
        joined = Op(words, int, op.script, op.stamp_at)
        try:
            answered = self._connection.submit(joined)
        except Exception as error:  # noqa: BLE001  it cannot be packed: whoever waits must be told
            answered = self._loop.create_future()
            answered.set_exception(error)
        answered.add_done_callback(group.share)
