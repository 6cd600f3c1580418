"""How calls become jobs: checked, encoded, named; the same for one and many, sync and async."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

from jobq.client.late import DURABLE, load
from jobq.client.producer import Producer
from jobq.client.shape import Shape
from jobq.core.bounds import is_sure
from jobq.core.checks import Durability
from jobq.core.ids import make_job_id
from jobq.core.marks import HEADER
from jobq.core.options import CALL_OPTIONS, UNSET, durability, parse_options, to_headers
from jobq.errors import (
    ArgumentError,
    DuplicateJob,
    EnqueueError,
    NotEncodable,
    OptionError,
    QueueFull,
    StoreError,
    StoreUnavailable,
)
from jobq.store.ops.enqueue import (
    MOST_CALLS,
    UNCERTAIN,
    Full,
    enqueue,
    enqueue_bounded,
    enqueue_many,
    enqueue_unique,
)
from jobq.store.wire import Op

#: The arguments of one call of `Sending.enqueue_each`: by position, or by name.
Arguments = tuple[object, ...] | Mapping[str, object]

#: The most bytes of calls in one round trip: Redis does nothing else while it adds them (2 ms).
MOST_BYTES: Final = 4 * 1024 * 1024

#: What an op that adds jobs comes to: how many it added, or why it did not.
Added = int | Full

#: The part of a path in `NotEncodable` that names the argument, and no value.
_ARGUMENT: Final = re.compile(r".*?: argument (?:'[^']*'|\d+)")

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
        durability: where calls must be before they count as enqueued.
    """

    producer: Producer
    name: str
    queue: str
    shape: Shape | None = None
    headers: Mapping[str, object] | None = None
    job_id: str | None = None
    durability: Durability | None = None

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
            durability=durability(options, self.durability),
        )

    def enqueue(self, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        """Enqueue one call and return the id of its job. See `JobFunction.delay`."""
        job_id, op = self.prepare(args, kwargs)
        self.check(job_id, self.producer.run(self.queue, op))
        if self.durability is not None:
            self._confirm([job_id])
        return job_id

    async def aenqueue(self, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        """See `enqueue`."""
        job_id, op = self.prepare(args, kwargs)
        self.check(job_id, await self.producer.arun(self.queue, op))
        if self.durability is not None:
            await self.aconfirm([job_id])
        return job_id

    def enqueue_each(self, calls: Iterable[Arguments]) -> list[str]:
        """Enqueue calls in chunks and return the ids of their jobs. See `JobFunction.map`."""
        batch = self._check_each(calls)
        try:
            if batch.checked:
                for answer in self._run_each(self._ops(batch)):
                    self._check_added(answer)
                    batch.sent += 1
        except (StoreError, QueueFull) as error:
            error.add_note(batch.half_way())
            raise
        if self.durability is not None and batch.ids:
            self._confirm(batch.ids)
        return batch.ids

    async def aenqueue_each(self, calls: Iterable[Arguments]) -> list[str]:
        """See `enqueue_each`."""
        batch = self._check_each(calls)
        try:
            for op in self._ops(batch):
                self._check_added(await self.producer.arun(self.queue, op))
                batch.sent += 1
        except (StoreError, QueueFull) as error:
            error.add_note(batch.half_way())
            raise
        if self.durability is not None and batch.ids:
            await self.aconfirm(batch.ids)
        return batch.ids

    async def aconfirm(self, job_ids: Sequence[str]) -> None:
        """Wait until jobs that were just enqueued are where `durability` wants them.

        Raises:
            NotConfirmed: they are not, in time; they are in Redis all the same.
        """
        if self.durability is not None:
            await self.producer.aio.confirm(
                self.producer.store, self.queue, tuple(job_ids), self.durability
            )

    def _confirm(self, job_ids: Sequence[str]) -> None:
        load(DURABLE).confirm(self.producer.store, self.queue, tuple(job_ids), self.durability)

    def prepare(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[str, Op[Added]]:
        """Return the id of a job and the op that adds it."""
        blob = self._encode(args, kwargs)
        if self.producer.special or self.job_id is not None:
            return self._prepare_specially(blob)
        job_id = make_job_id()
        # Not by _op(): this is the hot path of a producer.
        return job_id, enqueue(self.queue, job_id, blob)  # type: ignore[return-value]

    def check(self, job_id: str, answer: Added) -> None:
        """Read what `prepare`'s op came to.

        Raises:
            DuplicateJob: the caller's own id is taken.
            QueueFull: the queue has as many jobs as it may have.
            StoreUnavailable: the connection was cut, and whether the job was added is not known.
        """
        if answer == 1:
            return
        self._check_added(answer)
        # Without an id of the caller's own, 0 says that a resend had arrived before.
        if self.job_id is not None and not answer:
            raise DuplicateJob(job_id)

    def _check_added(self, answer: Added) -> None:
        if isinstance(answer, Full):
            most = self.producer.most or 0
            raise QueueFull(self.queue, answer.size, answer.dead, most)
        if answer == UNCERTAIN:
            raise StoreUnavailable(
                "the connection was cut while jobs were enqueued, and Redis cannot tell whether "
                "they were added. They may or may not exist."
            )

    def _prepare_specially(self, blob: bytes) -> tuple[str, Op[Added]]:
        """Add a call under the caller's id, signed, or only if there is room, as is wanted."""
        producer, queue = self.producer, self.queue
        signer = producer.signer
        producer.special = signer is not None or producer.most is not None
        job_id = self.job_id or make_job_id()
        if signer is not None:
            blob = signer.sign(queue, job_id, blob)
        unique = self.job_id is not None
        if producer.most is not None:
            return job_id, enqueue_bounded(queue, [(job_id, blob)], producer.most, unique=unique)
        if unique:
            return job_id, _op(enqueue_unique(queue, job_id, blob))
        return job_id, _op(enqueue(queue, job_id, blob))

    def _run_each(self, ops: Iterator[Op[Added]]) -> Iterable[Added]:
        producer, queue = self.producer, self.queue
        if producer.most is None:
            return producer.run_each(queue, ops)
        # One by one: what comes after one that was refused must not be added.
        return (producer.run(queue, op) for op in ops)

    def _check_each(self, calls: Iterable[Arguments]) -> "_Batch":
        if self.job_id is not None:
            raise OptionError(
                f"{self.name}.map(): option 'job_id' belongs to a single call; use .delay()"
            )
        batch = _Batch()
        checked = batch.checked
        check = None if self.shape is None else self.shape.check
        try:
            for arguments in calls:
                args, kwargs = _taken_apart(arguments)
                if is_sure(args, kwargs):  # can be encoded while Redis adds those before it
                    if check is not None:
                        check(args, kwargs)
                    checked.append((args, kwargs, None))
                else:
                    checked.append((args, kwargs, self._encode(args, kwargs)))
        except EnqueueError as error:
            error.args = (f"map(): calls[{len(checked)}]: {error}",)
            raise
        return batch

    def _ops(self, batch: "_Batch") -> Iterator[Op[Added]]:
        """Make the ops of a batch, each when it is asked for."""
        encode, name, headers = self.producer.codec.encode_sure, self.name, self.headers
        signer, queue = self.producer.signer, self.queue
        ready: list[_Ready] = []
        size = 0
        for args, kwargs, known in batch.checked:
            blob = encode(name, args, kwargs, headers) if known is None else known
            job_id = make_job_id()
            if signer is not None:
                blob = signer.sign(queue, job_id, blob)
            if len(ready) == MOST_CALLS or (size + len(blob) > MOST_BYTES and ready):
                yield self._adding(batch.add(ready))
                ready, size = [], 0
            ready.append((job_id, blob))
            size += len(blob)
        if ready:
            yield self._adding(batch.add(ready))

    def _adding(self, chunk: list[_Ready]) -> Op[Added]:
        most = self.producer.most
        if most is None:
            return _op(enqueue_many(self.queue, chunk))
        return enqueue_bounded(self.queue, chunk, most)

    def _encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        shape = self.shape
        if shape is None:
            return self.producer.codec.encode_call(self.name, args, kwargs, self.headers)
        shape.check(args, kwargs)
        try:
            return self.producer.codec.encode_call(
                self.name, args, kwargs, self.headers, shape.describe
            )
        except NotEncodable as error:
            if HEADER in (self.headers or ()):
                raise _discreet(error) from None
            raise


def _op(op: Op[int] | Op[bool]) -> Op[Added]:
    """Say of an op what Op cannot know: a bool is an int, and an int may stand for `Added`."""
    return cast("Op[Added]", op)


def _discreet(error: NotEncodable) -> NotEncodable:
    """Return the error without what it says of values: keys, members, words of an encoder."""
    found = _ARGUMENT.match(error.path)
    where = found[0] if found else "an argument"
    return NotEncodable(
        f"{where}, or what is in it,", error.type_name, "It is sensitive: no more is told."
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


class _Batch:
    """The calls of one map(): checked, then made into jobs chunk by chunk."""

    __slots__ = ("_sizes", "checked", "ids", "sent")

    def __init__(self) -> None:
        #: The arguments of each call, and its bytes where they had to be made to be sure.
        self.checked: list[tuple[tuple[object, ...], Mapping[str, object], bytes | None]] = []
        self.ids: list[str] = []
        #: How many chunks are in Redis.
        self.sent = 0
        self._sizes: list[int] = []

    def add(self, chunk: list[_Ready]) -> list[_Ready]:
        """Take note of a chunk that is about to be sent."""
        self.ids += [job_id for job_id, _ in chunk]
        self._sizes.append(len(chunk))
        return chunk

    def half_way(self) -> str:
        """Say how far it got."""
        done = sum(self._sizes[: self.sent])
        return f"map(): {done} of {len(self.checked)} jobs were enqueued before that"
