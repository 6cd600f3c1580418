"""Job functions: what ``@job`` makes of a function."""

from collections.abc import Callable, Coroutine, Iterable
from functools import update_wrapper
from typing import Final, Generic, ParamSpec, TypeVar, Unpack, cast

from jobq.client.bound import BoundCall
from jobq.client.handle import JobHandle
from jobq.client.options import CallOptions
from jobq.client.returns import Returns
from jobq.client.sending import Arguments, Sending
from jobq.core.registry import Definition

P = ParamSpec("P")
R = TypeVar("R")


class JobCall(Generic[P, R]):
    """Calls of a job function that become jobs, with options of their own.

    `JobFunction.options` makes it; the function's own `JobFunction.delay` is the same without
    options. R is what the function returns, for ``async def`` what it returns when awaited.
    """

    def __init__(self, sending: Sending, build: Callable[[object], R] | None) -> None:
        self._sending = sending
        self._build = build

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Enqueue a call. When this returns, the job is in Redis and will run.

        Args:
            args: positional arguments of the function.
            kwargs: keyword arguments of the function.

        Raises:
            ArgumentError: the arguments do not fit the signature.
            NotEncodable: one of them cannot travel; names it.
            CallTooLarge: they have too many bytes.
            DuplicateJob: the id of ``options(job_id=...)`` is taken; or, with
                ``on_conflict="raise"``, a job has the uniqueness key of the call.
            EnqueueError: a function given as ``unique`` raised, or made what cannot be encoded.
            QueueFull: the queue has as many jobs as ``JobQ(max_queue_size=...)`` says.
            NotConfirmed: the job is in Redis, but not where ``wait_replicas`` or ``fsync`` want it.
            StoreError: Redis refused, or cannot be reached.
        """
        return self._sending.enqueue(args, kwargs, self._build)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """See `delay`."""
        sending = self._sending
        producer = sending.producer
        if producer.special or sending.placing is not None:
            return await sending.aenqueue(args, kwargs, self._build)
        job_id, op = sending.plain(args, kwargs)
        answer = await producer.arun(sending.queue, op)
        if answer != 1:
            job_id = await sending.alanded(job_id, answer)
        if sending.durability is not None:
            await sending.aconfirm((job_id,))
        return JobHandle(producer, sending.queue, job_id, self._build)

    def map(self, calls: Iterable[Arguments]) -> list[JobHandle[R]]:
        """Enqueue many calls, 1,000 a round trip; each round trip is added whole or not at all.

        All calls are checked before the first one is sent.

        Args:
            calls: for each call a tuple of its arguments, or a dict of them by name.

        Returns:
            A handle for each call, in order.

        Raises:
            ArgumentError: a call is neither, or does not fit the signature; tells which.
            NotEncodable: an argument cannot travel; names it.
            CallTooLarge: a call has too many bytes.
            QueueFull: a round trip would make the queue too large, see `delay`; a note says how
                many jobs were enqueued before that.
            DuplicateJob: with ``on_conflict="raise"``, a job has the uniqueness key of a call;
                those before it were enqueued, those after it were not.
            StoreError: Redis refused, or cannot be reached; a note says how many jobs were
                enqueued before that.
        """
        return self._sending.map(calls, self._build)

    async def amap(self, calls: Iterable[Arguments]) -> list[JobHandle[R]]:
        """See `map`."""
        return await self._sending.amap(calls, self._build)

    def s(self, *args: P.args, **kwargs: P.kwargs) -> BoundCall[R]:
        """Return the call as a value, checked and encoded: for `Schedules.add`, or for later.

        Args:
            args: positional arguments of the function.
            kwargs: keyword arguments of the function.

        Raises:
            EnqueueError: the arguments do not fit or cannot travel, as `delay`.
        """
        encoded = self._sending.encode(args, kwargs)
        return BoundCall(self._sending, args, kwargs, encoded, self._build)

    def options(self, **options: Unpack[CallOptions]) -> "JobCall[P, R]":
        """Return the same function with options for the calls made through it.

        Args:
            options: see `jobq.client.options.CallOptions`.

        Raises:
            OptionError: an option is unknown, or cannot take its value or travel.
        """
        where = f"{self._sending.name}.options()"
        return JobCall(self._sending.with_options(options, where), self._build)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._sending.name} in {self._sending.queue}>"


class JobFunction(JobCall[P, R]):
    """A function whose calls can become jobs; calling it is a plain call.

    Attributes:
        name: by which its jobs name it.
        queue: where they wait, unless a call says otherwise.
    """

    __name__: str

    def __init__(self, definition: Definition, sending: Sending) -> None:
        function = definition.function
        super().__init__(
            sending, cast("Callable[[object], R]", Returns(function, definition.signature))
        )
        # Not its own attributes: they could hide our methods.
        update_wrapper(self, function, updated=())
        self.name: Final = definition.name
        self.queue: Final = definition.queue
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now, as if it had no decorator."""
        return cast("R", self._function(*args, **kwargs))


class AsyncJobFunction(JobFunction[P, R]):
    """A `JobFunction` made of an ``async def``: a plain call gives its coroutine."""

    def __call__(  # type: ignore[override]  # a coroutine of R stands for R everywhere else
        self, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[object, object, R]:
        """Call the function here and now, as if it had no decorator."""
        return cast("Coroutine[object, object, R]", self._function(*args, **kwargs))
