"""Calls that are kept: a job function with its arguments and options, as one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from jobq.client.handle import JobHandle
from jobq.client.sending import Sending

R = TypeVar("R")


@dataclass(frozen=True, slots=True, repr=False)
class BoundCall(Generic[R]):
    """A call that is checked and encoded, and can be enqueued later or given to a schedule.

    ``function.s(...)`` makes it, and ``function.options(...).s(...)``. R is what the function
    returns.

    Attributes:
        sending: how it is enqueued.
        args: positional arguments.
        kwargs: keyword arguments.
        encoded: the call as bytes, as it was when it was bound.
        build: makes a result what the function's annotation says; None: leaves it plain.
    """

    sending: Sending
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    encoded: bytes
    build: Callable[[object], R] | None

    @property
    def name(self) -> str:
        """The name of the job function."""
        return self.sending.name

    @property
    def queue(self) -> str:
        """The queue where its job would wait."""
        return self.sending.queue

    @property
    def line(self) -> str:
        """The line of that queue, see `jobq.core.lines`."""
        placing = self.sending.placing
        return self.queue if placing is None else placing.line(self.queue)

    def delay(self) -> JobHandle[R]:
        """Enqueue the call; every time a new job. See `JobFunction.delay`."""
        return self.sending.enqueue(self.args, dict(self.kwargs), self.build)

    async def adelay(self) -> JobHandle[R]:
        """See `delay`."""
        return await self.sending.aenqueue(self.args, dict(self.kwargs), self.build)

    def __repr__(self) -> str:
        return f"<BoundCall {self.name} in {self.queue}>"
