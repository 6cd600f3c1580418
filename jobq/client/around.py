"""Middleware around the sending of calls: composed for each call, from the outermost to Redis.

Only apps with such middleware load this.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from jobq.client.batch import Arguments, Batch
from jobq.client.handle import JobHandle
from jobq.client.sending import Build, Sending
from jobq.core.carried import HEADER, carried, check_headers
from jobq.core.checks import check_queue
from jobq.core.hooks import AroundEnqueue, Outgoing, is_async
from jobq.core.ids import make_job_id
from jobq.errors import EnqueueError, StoreError

R = TypeVar("R")

#: What sends a call on: to the next one, or into Redis.
_Forward = Callable[[Outgoing], object]
_Middleware = Callable[[Outgoing, _Forward], object]


class Around:
    """The middleware around the calls of an app.

    Args:
        middleware: the first one is the outermost.

    Attributes:
        sync: whether any is for blocking code.
        awaiting: whether any is for event loops.
    """

    def __init__(self, middleware: Sequence[AroundEnqueue]) -> None:
        inwards = [(one, is_async(one)) for one in reversed(middleware)]
        self._sync = [one for one, waits in inwards if not waits]
        self._awaiting = [one for one, waits in inwards if waits]
        self.sync: bool = bool(self._sync)
        self.awaiting: bool = bool(self._awaiting)

    def send(
        self,
        sending: Sending,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        build: Build[R] | None,
    ) -> JobHandle[R]:
        """Enqueue one call. See `Sending.enqueue`."""

        def last(call: Outgoing) -> JobHandle[R]:
            changed, given, named = _changed(sending, call)
            return changed.enqueue_now(given, named, build)

        call = _outgoing(sending, args, kwargs)
        return _checked(_composed(self._sync, last)(call), build)

    async def asend(
        self,
        sending: Sending,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        build: Build[R] | None,
    ) -> JobHandle[R]:
        """See `send`."""

        async def last(call: Outgoing) -> JobHandle[R]:
            changed, given, named = _changed(sending, call)
            return await changed.aenqueue_now(given, named, build)

        sent = _composed(self._awaiting, last)(_outgoing(sending, args, kwargs))
        return _checked(await cast("Awaitable[object]", sent), build)

    def map(
        self, sending: Sending, calls: Iterable[Arguments], build: Build[R] | None
    ) -> list[JobHandle[R]]:
        """Enqueue calls in chunks: all pass the middleware, then they are sent."""
        checked = sending.check_each(calls).checked
        handles: list[JobHandle[R]] = []
        if sending.keyed:  # one by one: which job a call becomes is known once it is there
            for at, (args, kwargs, _) in enumerate(checked):
                with _Where(at, len(checked)):
                    handles.append(self.send(sending, args, kwargs, build))
            return handles
        bulk = _Bulk(sending, build)
        forward = _composed(self._sync, bulk.take)
        for at, (args, kwargs, _) in enumerate(checked):
            with _Where(at):
                handles.append(
                    _checked(forward(_outgoing(sending, args, kwargs, bulk=True)), build)
                )
        for group, batch in bulk.groups():
            group.send_batch(batch)
        return handles

    async def amap(
        self, sending: Sending, calls: Iterable[Arguments], build: Build[R] | None
    ) -> list[JobHandle[R]]:
        """See `map`."""
        checked = sending.check_each(calls).checked
        handles: list[JobHandle[R]] = []
        if sending.keyed:
            for at, (args, kwargs, _) in enumerate(checked):
                with _Where(at, len(checked)):
                    handles.append(await self.asend(sending, args, kwargs, build))
            return handles
        bulk = _Bulk(sending, build)
        forward = _composed(self._awaiting, bulk.atake)
        for at, (args, kwargs, _) in enumerate(checked):
            with _Where(at):
                sent = forward(_outgoing(sending, args, kwargs, bulk=True))
                handles.append(_checked(await cast("Awaitable[object]", sent), build))
        for group, batch in bulk.groups():
            await group.asend_batch(batch)
        return handles


class _Bulk:
    """The calls of one `map()` that have passed the middleware, by their queues."""

    def __init__(self, sending: Sending, build: Build[object] | None) -> None:
        self._sending = sending
        self._build = build
        self._batches: dict[str, tuple[Batch, list[str]]] = {}

    def take(self, call: Outgoing) -> JobHandle[object]:
        """Take a call in, and return the job that it is going to be."""
        changed, args, kwargs = _changed(self._sending, call)
        blob = changed.encode(args, kwargs)
        batch, ids = self._batches.setdefault(changed.queue, (Batch(), []))
        batch.checked.append((args, kwargs, blob))
        ids.append(make_job_id())
        return JobHandle(changed.producer, changed.queue, ids[-1], self._build)

    async def atake(self, call: Outgoing) -> JobHandle[object]:
        """See `take`."""
        return self.take(call)

    def groups(self) -> Iterator[tuple[Sending, Batch]]:
        """Yield the calls of each queue, and how they are sent."""
        for queue, (batch, ids) in self._batches.items():
            batch.make_id = partial(next, iter(ids))
            yield replace(self._sending, queue=queue), batch


class _Where:
    """Says in an error which call of a `map()` it is about.

    Args:
        at: which.
        of: how many there are, where those before it have been sent; 0: none has.
    """

    def __init__(self, at: int, of: int = 0) -> None:
        self._at = at
        self._of = of

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Look at what was raised."""
        if isinstance(error, EnqueueError | StoreError):
            if isinstance(error, EnqueueError):
                error.args = (f"map(): calls[{self._at}]: {error}",)
            if self._of:
                error.add_note(f"map(): {self._at} of {self._of} jobs were enqueued before that")


def _outgoing(
    sending: Sending,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    *,
    bulk: bool = False,
) -> Outgoing:
    headers = carried(sending.headers) if sending.headers else {}
    return Outgoing(sending.name, args, kwargs, sending.queue, headers, bulk)


def _changed(
    sending: Sending, call: object
) -> tuple[Sending, tuple[object, ...], dict[str, object]]:
    """Return how a call is sent after middleware has seen it, and its arguments.

    Raises:
        EnqueueError: it is no call, or one of another job function.
        OptionError: its queue or its headers cannot be used.
    """
    if not isinstance(call, Outgoing) or call.name != sending.name:
        given = f"a call of {call.name!r}" if isinstance(call, Outgoing) else _kind(call)
        raise EnqueueError(
            f"{sending.name}: middleware called forward() with {given}: it takes the call, or "
            "dataclasses.replace(call, ...) with other arguments, queue or headers"
        )
    headers = {name: value for name, value in (sending.headers or {}).items() if name != HEADER}
    if call.headers:
        headers[HEADER] = check_headers(call.headers)
    queue = call.queue if call.queue == sending.queue else check_queue(call.queue)
    return replace(sending, queue=queue, headers=headers or None), call.args, dict(call.kwargs)


def _composed(inwards: Sequence[AroundEnqueue], last: _Forward) -> _Forward:
    forward = last
    for one in inwards:
        forward = partial(_through, cast("_Middleware", one), forward)
    return forward


def _through(one: _Middleware, forward: _Forward, call: Outgoing) -> object:
    return one(call, forward)


def _checked(sent: object, _build: Build[R] | None) -> JobHandle[R]:
    """Refuse to take silence for a job: who calls would believe that it is in Redis.

    Args:
        sent: what middleware has returned.
        _build: what the handle was made with; only says what its R is.
    """
    if not isinstance(sent, JobHandle):
        raise EnqueueError(
            f"middleware of app.around_enqueue returned {_kind(sent)}: it must return what "
            "forward(call) returns, or raise"
        )
    return cast("JobHandle[R]", sent)


def _kind(value: object) -> str:
    """Name a value by its type alone: it may be an argument that nobody shall see."""
    return "None" if value is None else f"a {type(value).__name__}"
