"""How calls become jobs: checked, encoded, named; the same for one and many, sync and async."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from jobq.client.producer import Producer
from jobq.client.shape import Shape
from jobq.core.ids import make_job_id
from jobq.core.options import CALL_OPTIONS, UNSET, parse_options, to_headers
from jobq.errors import ArgumentError, DuplicateJob, EnqueueError, OptionError, StoreError
from jobq.store.ops.enqueue import MOST_CALLS, enqueue, enqueue_many, enqueue_unique
from jobq.store.wire import Op

#: The arguments of one call of `Sending.enqueue_each`: by position, or by name.
Arguments = tuple[object, ...] | Mapping[str, object]

#: The most bytes of calls in one round trip: Redis does nothing else while it adds them (2 ms).
MOST_BYTES: Final = 4 * 1024 * 1024

#: An id and a call, ready to be sent.
_Ready = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Sending:
    """Enqueues calls of one job function with one set of options.

    Attributes:
        producer: where they go.
        name: of the job function.
        queue: where its jobs wait.
        shape: checks the arguments; None: the function is not known here, so any will do.
        headers: the options that travel.
        job_id: the caller's own id; None: each job gets a new one.
    """

    producer: Producer
    name: str
    queue: str
    shape: Shape | None = None
    headers: Mapping[str, object] | None = None
    job_id: str | None = None

    def with_options(self, given: Mapping[str, object], where: str) -> "Sending":
        """Return the same with options for the calls made through it.

        Args:
            given: names and values, over those from before.
            where: who takes them, for messages.

        Raises:
            OptionError: an option is unknown, or cannot take its value or travel.
        """
        options = parse_options(given, where=where, accepts=CALL_OPTIONS)
        return replace(
            self,
            queue=self.queue if options.queue is UNSET else options.queue,
            headers={**(self.headers or {}), **to_headers(options)} or None,
            job_id=self.job_id if options.job_id is UNSET else options.job_id,
        )

    def enqueue(self, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        """Enqueue one call and return the id of its job. See `JobFunction.delay`."""
        job_id, op = self._prepare(args, kwargs)
        self._check(job_id, self.producer.run(self.queue, op))
        return job_id

    async def aenqueue(self, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        """See `enqueue`."""
        job_id, op = self._prepare(args, kwargs)
        self._check(job_id, await self.producer.arun(self.queue, op))
        return job_id

    def enqueue_each(self, calls: Iterable[Arguments]) -> list[str]:
        """Enqueue calls in chunks and return the ids of their jobs. See `JobFunction.map`."""
        ready = self._prepare_each(calls)
        chunks = list(_chunks(ready))
        sent = 0
        try:
            ops = [enqueue_many(self.queue, chunk) for chunk in chunks]
            answers = self.producer.run_each(self.queue, ops)
            for chunk, _ in zip(chunks, answers, strict=True):
                sent += len(chunk)
        except StoreError as error:
            error.add_note(_half_way(sent, len(ready)))
            raise
        return [job_id for job_id, _ in ready]

    async def aenqueue_each(self, calls: Iterable[Arguments]) -> list[str]:
        """See `enqueue_each`."""
        ready = self._prepare_each(calls)
        sent = 0
        try:
            for chunk in _chunks(ready):
                await self.producer.arun(self.queue, enqueue_many(self.queue, chunk))
                sent += len(chunk)
        except StoreError as error:
            error.add_note(_half_way(sent, len(ready)))
            raise
        return [job_id for job_id, _ in ready]

    def _prepare(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[str, Op[int]]:
        blob = self._encode(args, kwargs)
        if self.job_id is not None:
            # A bool is an int, which Op cannot know.
            unique = cast("Op[int]", enqueue_unique(self.queue, self.job_id, blob))
            return self.job_id, unique
        job_id = make_job_id()
        return job_id, enqueue(self.queue, job_id, blob)

    def _check(self, job_id: str, answer: int) -> None:
        # Without an id of the caller's own, 0 says that a resend had arrived before.
        if self.job_id is not None and not answer:
            raise DuplicateJob(job_id)

    def _prepare_each(self, calls: Iterable[Arguments]) -> list[_Ready]:
        if self.job_id is not None:
            raise OptionError(
                f"{self.name}.map(): option 'job_id' belongs to a single call; use .delay()"
            )
        ready: list[_Ready] = []
        try:
            for arguments in calls:
                args, kwargs = _taken_apart(arguments)
                ready.append((make_job_id(), self._encode(args, kwargs)))
        except EnqueueError as error:
            error.args = (f"map(): calls[{len(ready)}]: {error}",)
            raise
        return ready

    def _encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        shape = self.shape
        if shape is None:
            return self.producer.codec.encode_call(self.name, args, kwargs, self.headers)
        shape.check(args, kwargs)
        return self.producer.codec.encode_call(
            self.name, args, kwargs, self.headers, shape.describe
        )


def _taken_apart(arguments: object) -> tuple[tuple[object, ...], Mapping[str, object]]:
    if isinstance(arguments, tuple):
        return cast("tuple[object, ...]", arguments), {}
    if isinstance(arguments, Mapping):
        return (), cast("Mapping[str, object]", arguments)
    raise ArgumentError(
        f"a {type(arguments).__name__}; each call is a tuple of its arguments, such as (value,), "
        "or a dict of them by name"
    )


def _chunks(ready: Sequence[_Ready]) -> Iterator[Sequence[_Ready]]:
    """Cut what is ready into round trips."""
    start = size = 0
    for at, (_, blob) in enumerate(ready):
        if at - start == MOST_CALLS or (size + len(blob) > MOST_BYTES and at > start):
            yield ready[start:at]
            start, size = at, 0
        size += len(blob)
    if start < len(ready):
        yield ready[start:]


def _half_way(sent: int, total: int) -> str:
    return f"map(): {sent} of {total} jobs were enqueued before that"
