"""Seeing when jobs are enqueued, to run them at once."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from jobq.client.producer import Producer
from jobq.store.aio import AsyncStore
from jobq.store.wire import Op

T = TypeVar("T")


@contextmanager
def watched(
    producer: Producer, then: Callable[[], object], athen: Callable[[], Awaitable[object]]
) -> Iterator[None]:
    """Call something after each round trip of a producer that adds jobs.

    Args:
        then: called by blocking code.
        athen: awaited on event loops.
    """
    run, run_each = producer.run, producer.run_each
    arun, arun_all = producer.arun, producer.arun_all

    def run_then(queue: str, op: Op[T]) -> T:
        answer = run(queue, op)
        then()
        return answer

    loops: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}

    async def begin() -> None:
        """See that the connection of this loop is closed when the loop ends: tests forget it."""
        loop = asyncio.get_running_loop()
        if loop not in loops:
            loops[loop] = _closing(producer.aio.store)
            await anext(loops[loop])

    async def arun_then(queue: str, op: Op[T]) -> T:
        await begin()
        answer = await arun(queue, op)
        await athen()
        return answer

    def run_each_then(queue: str, ops: Iterable[Op[T]]) -> Iterator[T]:
        yield from run_each(queue, ops)
        then()

    async def arun_all_then(queue: str, ops: Sequence[Op[T]]) -> list[T | BaseException]:
        await begin()
        answers = await arun_all(queue, ops)
        await athen()
        return answers

    own: dict[str, object] = {
        "run": run_then,
        "run_each": run_each_then,
        "arun": arun_then,
        "arun_all": arun_all_then,
    }
    vars(producer).update(own)  # over the methods of its class
    try:
        yield
    finally:
        for name in own:
            vars(producer).pop(name, None)


async def _closing(store: AsyncStore) -> AsyncGenerator[None, None]:
    """Close a store's connection of this loop when that ends its generators, as loops do last."""
    try:
        yield
    finally:
        await store.close()
