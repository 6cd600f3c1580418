"""How calls become jobs: checked, encoded, named; the same for one and many, sync and async."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from jobq.client.batch import Arguments, Batch, Ready, taken_apart
from jobq.client.handle import JobHandle
from jobq.client.late import DURABLE, load
from jobq.client.producer import Producer
from jobq.client.shape import Shape
from jobq.client.special import TRIES, Added, Again, Special
from jobq.core.bounds import is_sure
from jobq.core.checks import Durability
from jobq.core.ids import make_job_id
from jobq.core.marks import HEADER
from jobq.core.options import CALL_OPTIONS, UNSET, durability, parse_options, to_headers
from jobq.core.placing import ONCE, Placing
from jobq.errors import EnqueueError, NotEncodable, OptionError, StoreError
from jobq.store.ops.enqueue import MOST_CALLS, enqueue
from jobq.store.wire import Op

__all__ = ["Added", "Arguments", "Sending"]

R = TypeVar("R")

#: Makes a result what the annotation of the function says.
Build = Callable[[object], R]

#: The most bytes of calls in one round trip: Redis does nothing else while it adds them (2 ms).
MOST_BYTES: Final = 4 * 1024 * 1024

#: Calls with uniqueness keys that are on their way at once.
AT_ONCE: Final = 100

#: The part of a path in `NotEncodable` that names the argument, and no value.
_ARGUMENT: Final = re.compile(r".*?: argument (?:'[^']*'|\d+)")


@dataclass(frozen=True, slots=True)
class Sending:
    """Enqueues calls of one job function with one set of options.

    Attributes:
        producer: where they go.
        name: of the job function.
        queue: where its jobs wait.
        shape: checks the arguments; None: the function is not known here, so any will do.
        headers: the options that travel.
        placing: the options that do not, but say how a call is put into Redis; None: as usual.
        durability: where calls must be before they count as enqueued.
    """

    producer: Producer
    name: str
    queue: str
    shape: Shape | None = None
    headers: Mapping[str, object] | None = None
    placing: Placing | None = None
    durability: Durability | None = None

    def with_options(self, given: Mapping[str, object], where: str) -> "Sending":
        """Return the same with options for the calls made through it.

        Args:
            given: names and values, over those from before.
            where: who takes them, for messages.

        Raises:
            OptionError: an option is unknown, or cannot take its value or travel; or two of them
                contradict each other.
        """
        options = parse_options(given, where=where, accepts=CALL_OPTIONS)
        return replace(
            self,
            queue=self.queue if options.queue is UNSET else options.queue,
            headers={**(self.headers or {}), **to_headers(options)} or None,
            placing=self.producer.place(options.placing, where, self.placing),
            durability=durability(options, self.durability),
        )

    @property
    def keyed(self) -> bool:
        """Whether its calls have uniqueness keys."""
        return self.placing is not None and self.placing.unique is not None

    @property
    def once(self) -> str:
        """The option that makes this good for a single call or moment; empty: there is none."""
        given = ONCE & self.placing.given.keys() if self.placing is not None else ()
        return min(given, default="")

    def enqueue(
        self,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        build: Build[R] | None = None,
    ) -> JobHandle[R]:
        """Enqueue one call and return its job. See `JobFunction.delay`."""
        producer = self.producer
        if producer.special or self.placing is not None:
            around = producer.around
            if around is not None and around.sync:
                return around.send(self, args, kwargs, build)
            return self.enqueue_now(args, kwargs, build)
        job_id, op = self.plain(args, kwargs)
        answer = producer.run(self.queue, op)
        if answer != 1:
            job_id = self.landed(job_id, answer)
        if self.durability is not None:
            self.confirm([job_id])
        return JobHandle(producer, self.queue, job_id, build)

    async def aenqueue(
        self,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        build: Build[R] | None = None,
    ) -> JobHandle[R]:
        """See `enqueue`."""
        around = self.producer.around
        if around is not None and around.awaiting:
            return await around.asend(self, args, kwargs, build)
        return await self.aenqueue_now(args, kwargs, build)

    def enqueue_now(
        self, args: tuple[object, ...], kwargs: dict[str, object], build: Build[R] | None
    ) -> JobHandle[R]:
        """Enqueue one call, past middleware."""
        job_id, op = self.prepare(args, kwargs)
        answer = self.producer.run(self.queue, op)
        if answer != 1:
            job_id = self.landed(job_id, answer)
        if self.durability is not None:
            self.confirm([job_id])
        return JobHandle(self.producer, self.queue, job_id, build)

    async def aenqueue_now(
        self, args: tuple[object, ...], kwargs: dict[str, object], build: Build[R] | None
    ) -> JobHandle[R]:
        """See `enqueue_now`."""
        job_id, op = self.prepare(args, kwargs)
        answer = await self.producer.arun(self.queue, op)
        if answer != 1:
            job_id = await self.alanded(job_id, answer)
        if self.durability is not None:
            await self.aconfirm([job_id])
        return JobHandle(self.producer, self.queue, job_id, build)

    def map(self, calls: Iterable[Arguments], build: Build[R] | None) -> list[JobHandle[R]]:
        """Enqueue calls in chunks and return their jobs. See `JobFunction.map`."""
        around = self.producer.around
        if around is not None and around.sync:
            return around.map(self, calls, build)
        queue, producer = self.queue, self.producer
        job_ids = self.send_batch(self.check_each(calls))
        return [JobHandle(producer, queue, one, build) for one in job_ids]

    async def amap(self, calls: Iterable[Arguments], build: Build[R] | None) -> list[JobHandle[R]]:
        """See `map`."""
        around = self.producer.around
        if around is not None and around.awaiting:
            return await around.amap(self, calls, build)
        queue, producer = self.queue, self.producer
        job_ids = await self.asend_batch(self.check_each(calls))
        return [JobHandle(producer, queue, one, build) for one in job_ids]

    def send_batch(self, batch: Batch) -> list[str]:
        """Enqueue calls that are checked, in chunks, and return the ids of their jobs."""
        ops, special = self._keyed(batch), self._special
        try:
            if ops:
                for answer in self._run_each(iter(ops)):
                    batch.add_one(self.landed("", answer))
            elif batch.checked:
                for answer in self._run_each(self._ops(batch)):
                    special.landed("", answer)
                    batch.sent += 1
        except (StoreError, EnqueueError) as error:
            error.add_note(batch.half_way())
            raise
        if self.durability is not None and batch.ids:
            self.confirm(batch.ids)
        return batch.ids

    async def asend_batch(self, batch: Batch) -> list[str]:
        """See `send_batch`."""
        ops, special = self._keyed(batch), self._special
        at_once = 1 if special.in_turn else AT_ONCE
        try:
            for at in range(0, len(ops), at_once):
                for answer in await self.producer.arun_all(self.queue, ops[at : at + at_once]):
                    if isinstance(answer, BaseException):
                        raise answer
                    batch.add_one(await self.alanded("", answer))
            for op in () if ops else self._ops(batch):
                special.landed("", await self.producer.arun(self.queue, op))
                batch.sent += 1
        except (StoreError, EnqueueError) as error:
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

    def confirm(self, job_ids: Sequence[str]) -> None:
        """See `aconfirm`."""
        load(DURABLE).confirm(self.producer.store, self.queue, tuple(job_ids), self.durability)

    def prepare(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[str, Op[Added]]:
        """Return the id of a job and the op that adds it."""
        if self.producer.special or self.placing is not None:
            return self._special.prepare(self.encode(args, kwargs), args, kwargs)
        return self.plain(args, kwargs)

    def plain(self, args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[str, Op[Added]]:
        """Do what `prepare` does, for a call about which nothing is special."""
        blob = self.encode(args, kwargs)
        job_id = make_job_id()
        return job_id, enqueue(self.queue, job_id, blob)  # type: ignore[return-value]

    def encode(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bytes:
        """Check the arguments of a call and return it as bytes. See `JobFunction.delay`."""
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

    def landed(self, job_id: str, answer: Added) -> str:
        """Return the id of the job that a call became, or that stands for it.

        Args:
            job_id: that of `prepare`.
            answer: what its op came to.

        Raises:
            DuplicateJob: the caller's own id, or the uniqueness key, is taken.
            QueueFull: the queue has as many jobs as it may have.
            StoreUnavailable: the connection was cut, and whether the job was added is not known.
        """
        for _ in range(TRIES):
            if not isinstance(answer, Again):
                break
            answer = self.producer.run(self.queue, answer.op)
        return self._special.landed(job_id, answer)

    async def alanded(self, job_id: str, answer: Added) -> str:
        """See `landed`."""
        for _ in range(TRIES):
            if not isinstance(answer, Again):
                break
            answer = await self.producer.arun(self.queue, answer.op)
        return self._special.landed(job_id, answer)

    @property
    def _special(self) -> Special:
        return Special(self.producer, self.name, self.queue, self.shape, self.placing)

    def _run_each(self, ops: Iterator[Op[Added]]) -> Iterable[Added]:
        producer, queue = self.producer, self.queue
        if not self._special.in_turn:
            return producer.run_each(queue, ops)
        # One by one: what comes after one that was refused must not be added.
        return (producer.run(queue, op) for op in ops)

    def _keyed(self, batch: Batch) -> list[Op[Added]]:
        """Make the op of each call of a batch, where calls have uniqueness keys; else none."""
        special, encode, ops = self._special, self.producer.codec.encode_sure, list[Op[Added]]()
        if special.unique is None:
            return ops
        for args, kwargs, known in batch.checked:
            blob = encode(self.name, args, kwargs, self.headers) if known is None else known
            try:
                ops.append(special.prepare(blob, args, kwargs)[1])
            except EnqueueError as error:
                error.args = (f"map(): calls[{len(ops)}]: {error}",)
                raise
        return ops

    def check_each(self, calls: Iterable[Arguments]) -> Batch:
        """Check the calls of a `map()`, and encode those that may turn out not to travel."""
        if self.placing is not None and self.placing.job_id is not None:
            raise OptionError(
                f"{self.name}.map(): option 'job_id' belongs to a single call; use .delay()"
            )
        batch = Batch()
        checked = batch.checked
        check = None if self.shape is None else self.shape.check
        try:
            for arguments in calls:
                args, kwargs = taken_apart(arguments)
                if is_sure(args, kwargs):  # can be encoded while Redis adds those before it
                    if check is not None:
                        check(args, kwargs)
                    checked.append((args, kwargs, None))
                else:
                    checked.append((args, kwargs, self.encode(args, kwargs)))
        except EnqueueError as error:
            error.args = (f"map(): calls[{len(checked)}]: {error}",)
            raise
        return batch

    def _ops(self, batch: Batch) -> Iterator[Op[Added]]:
        """Make the ops of a batch, each when it is asked for."""
        encode, name, headers = self.producer.codec.encode_sure, self.name, self.headers
        signer, queue, special = self.producer.signer, self.queue, self._special
        make_id = batch.make_id
        ready: list[Ready] = []
        size = 0
        for args, kwargs, known in batch.checked:
            blob = encode(name, args, kwargs, headers) if known is None else known
            job_id = make_id()
            if signer is not None:
                blob = signer.sign(queue, job_id, blob)
            if len(ready) == MOST_CALLS or (size + len(blob) > MOST_BYTES and ready):
                yield special.many(batch.add(ready))
                ready, size = [], 0
            ready.append((job_id, blob))
            size += len(blob)
        if ready:
            yield special.many(batch.add(ready))


def _discreet(error: NotEncodable) -> NotEncodable:
    """Return the error without what it says of values: keys, members, words of an encoder."""
    found = _ARGUMENT.match(error.path)
    where = found[0] if found else "an argument"
    return NotEncodable(
        f"{where}, or what is in it,", error.type_name, "It is sensitive: no more is told."
    )
