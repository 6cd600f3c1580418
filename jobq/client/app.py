"""The app: job functions, and the Redis where their calls wait."""

from collections.abc import Callable, Coroutine
from functools import partial
from inspect import iscoroutinefunction
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Protocol, Self, TypeVar, Unpack, cast, overload

from jobq.client.function import AsyncJobFunction, JobFunction
from jobq.client.handle import JobHandle
from jobq.client.keyring import Keyring, Keys
from jobq.client.late import ASKING, load
from jobq.client.named import NamedCall
from jobq.client.naming import job_name, plain_function
from jobq.client.options import AppOptions, CallOptions, JobOptions
from jobq.client.producer import Producer
from jobq.client.sending import Sending
from jobq.client.shape import Shape, signature_of
from jobq.core.annotations import rebuilder
from jobq.core.checks import check_most, check_queue
from jobq.core.codec import Codec
from jobq.core.duration import Duration
from jobq.core.ids import check_job_id
from jobq.core.lease import DEFAULT_LEASE, check_lease
from jobq.core.marks import HEADER, marks_of
from jobq.core.options import (
    APP_OPTIONS,
    DECLARATION_OPTIONS,
    DEFAULT_QUEUE,
    UNSET,
    Options,
    durability,
    parse_options,
    resolve,
)
from jobq.core.registry import Definition, Registry
from jobq.core.signing import Signer
from jobq.store.sync import Store

if TYPE_CHECKING:
    from jobq.store.aio import AsyncStore

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Plain = TypeVar("Plain")


class JobDecorator(Protocol):
    """What ``@job(...)`` with options is: makes a job function of a function."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[object, object, R]], /
    ) -> AsyncJobFunction[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> JobFunction[P, R]: ...


class JobQ:
    """An app: it holds job functions, and knows the Redis where their calls wait.

    Making one opens nothing: Redis is looked for at the first call.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; ``embedded:`` for the private server of
            the project, ``embedded:///directory`` for one with its data there; None: what
            JOBQ_REDIS_URL says at first use, else ``embedded:``.
        name: what banners call the app.
        lease: how long a job may go without a sign of life from its worker before others take it;
            30 seconds if not given.
        signing_keys: id and secret of each key that calls are signed with, so that workers run
            nothing that a stranger wrote into Redis; the first one signs, all are accepted. None:
            what JOBQ_SIGNING_KEYS says at first use, ``id:secret,id:secret``.
        accept_unsigned: with keys, run unsigned calls too, while producers get theirs; None: what
            JOBQ_ACCEPT_UNSIGNED says, else no.
        max_queue_size: how many jobs a queue may have, in any state and dead letters too, before
            `delay` raises `QueueFull`; None: as many as fit into Redis.
        defaults: options for all its job functions, see `jobq.client.options.AppOptions`.

    Attributes:
        name: what banners call the app.
        lease: in seconds.
        registry: its job functions.
        codec: encodes calls and decodes results, with its registered types.

    Raises:
        ConfigError: the URL has none of these forms, or a signing key cannot be used.
        OptionError: an option is unknown, or cannot take its value.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str | None = None,
        lease: Duration = DEFAULT_LEASE,
        signing_keys: Keys | None = None,
        accept_unsigned: bool | None = None,
        max_queue_size: int | None = None,
        **defaults: Unpack[AppOptions],
    ) -> None:
        self.name: str = name or "jobq"
        self.lease: float = check_lease(lease, "JobQ(lease=...)")
        self._defaults = parse_options(defaults, where="JobQ()", accepts=APP_OPTIONS)
        keyring = Keyring(signing_keys, accept_unsigned)
        self._producer = Producer(url, keyring=keyring, most=check_most(max_queue_size))
        self.registry: Registry = self._producer.registry
        self.codec: Codec = self._producer.codec
        self._sendings: dict[str, Sending] = {}

    @overload
    def job(
        self, function: Callable[P, Coroutine[object, object, R]], /, **options: Unpack[JobOptions]
    ) -> AsyncJobFunction[P, R]: ...

    @overload
    def job(
        self, function: Callable[P, R], /, **options: Unpack[JobOptions]
    ) -> JobFunction[P, R]: ...

    @overload
    def job(self, /, **options: Unpack[JobOptions]) -> JobDecorator: ...

    def job(self, function: object = None, /, **options: Unpack[JobOptions]) -> object:
        """Make a job function of a function: ``@job``, ``@job(queue="mail")`` or ``job(f)``.

        Args:
            function: the function; left out where options are given to the decorator.
            options: see `jobq.client.options.JobOptions`.

        Returns:
            The job function; without a function, a decorator that makes it.

        Raises:
            OptionError: an option is unknown or cannot take its value, or this is not a
                function that a worker could find and call.
            ConfigError: the app has another job function of that name.
        """
        parsed = parse_options(options, where="@job", accepts=DECLARATION_OPTIONS)
        if function is None:
            return partial(self._define, parsed)
        return self._define(parsed, function)

    def send(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """Enqueue a call by the job function's name, which need not be imported here.

        Args:
            name: of the job function, such as ``mail.send``.
            args: positional arguments.
            kwargs: keyword arguments.

        Raises:
            EnqueueError: an argument does not fit or cannot travel, as `JobFunction.delay`.
            StoreError: Redis refused, or cannot be reached.
        """
        return self.options().send(name, *args, **kwargs)

    async def asend(self, name: str, /, *args: object, **kwargs: object) -> JobHandle[object]:
        """See `send`."""
        return await self.options().asend(name, *args, **kwargs)

    def options(self, **options: Unpack[CallOptions]) -> NamedCall:
        """Return the app's `send` with options: ``app.options(queue="mail").send(...)``.

        Args:
            options: see `jobq.client.options.CallOptions`.

        Raises:
            OptionError: an option is unknown, or cannot take its value or travel.
        """
        queue = DEFAULT_QUEUE if self._defaults.queue is UNSET else self._defaults.queue
        sending = Sending(self._producer, "", queue, durability=durability(self._defaults))
        return NamedCall(self._sendings, sending, options)

    def register_type(
        self,
        cls: type[T],
        *,
        name: str,
        encode: Callable[[T], Plain],
        decode: Callable[[Plain], T],
    ) -> None:
        """Let values of a type of your own travel; workers need the same line.

        Args:
            cls: the type.
            name: what stands for it in Redis; must never change.
            encode: turns an instance into something that can travel.
            decode: turns that back into an instance.

        Raises:
            ConfigError: the type or the name is taken.
        """
        self._producer.codec.register_type(cls, name=name, encode=encode, decode=decode)

    def handle(self, job_id: str, queue: str | None = None) -> JobHandle[object]:
        """Return a handle of a job that was enqueued anywhere.

        Args:
            job_id: the id of the job.
            queue: where it waits or waited, which spares a search; None: look in all queues.

        Raises:
            JobNotFound: it is in no queue.
            OptionError: the id or the queue cannot be one.
            StoreError: Redis refused, or cannot be reached.
        """
        check_job_id(job_id)
        if queue is None:
            queue = cast("str", load(ASKING).find_queue(self._producer, job_id))
        return self._handle(job_id, queue)

    async def ahandle(self, job_id: str, queue: str | None = None) -> JobHandle[object]:
        """See `handle`."""
        check_job_id(job_id)
        if queue is None:
            queue = cast("str", await load(ASKING).afind_queue(self._producer, job_id))
        return self._handle(job_id, queue)

    @property
    def signer(self) -> Signer | None:
        """What signs and checks calls; None: nothing is signed. Asked for at first use.

        Raises:
            ConfigError: JOBQ_SIGNING_KEYS cannot be used.
        """
        return self._producer.signer

    @property
    def store(self) -> Store:
        """The app's Redis for blocking code; connected at first use."""
        return self._producer.store

    @property
    def astore(self) -> "AsyncStore":
        """The app's Redis for event loops; connected at first use."""
        return self._producer.aio.store

    def redis_url(self) -> str:
        """Return the URL of a live Redis; the embedded one is started when it is needed.

        Raises:
            ConfigError: JOBQ_REDIS_URL has no known form.
            ServerError: the embedded server cannot be found or started.
        """
        return self._producer.where.redis_url()

    def safe_url(self) -> str:
        """Return where Redis is, for people: no password in it, and nothing is started.

        Raises:
            ConfigError: JOBQ_REDIS_URL has no known form.
        """
        return self._producer.where.safe_url()

    def close(self) -> None:
        """Close the connections; the app can be used again, and then asks JOBQ_REDIS_URL again."""
        self._producer.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop too. See `close`."""
        await self._producer.aclose()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.aclose()

    def _define(self, options: Options, decorated: object) -> object:
        function = plain_function(decorated)
        merged = options.over(self._defaults)
        name = job_name(function) if merged.name is UNSET else merged.name
        signature = signature_of(function)
        is_async = iscoroutinefunction(function)
        marks = [] if merged.sensitive is UNSET else marks_of(merged.sensitive, signature)
        definition = Definition(
            name=name,
            function=function,
            queue=DEFAULT_QUEUE if merged.queue is UNSET else merged.queue,
            policy=resolve(merged),
            is_async=is_async,
            rebuild=rebuilder(function),
            signature=signature,
            sensitive=tuple(marks),
        )
        self.registry.add(definition)
        qualname: str = getattr(function, "__qualname__", "")
        sending = Sending(
            self._producer,
            name,
            definition.queue,
            Shape(name, qualname, signature),
            {HEADER: marks} if marks else None,
            durability=durability(merged),
        )
        self._sendings[name] = sending
        kind = AsyncJobFunction if is_async else JobFunction
        return cast("object", kind(definition, sending))

    def _handle(self, job_id: str, queue: str) -> JobHandle[object]:
        return JobHandle(self._producer, check_queue(queue), job_id)
