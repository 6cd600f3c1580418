"""The app: job functions, and the Redis where their calls wait."""

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar, Unpack, cast, overload
from weakref import WeakSet

from jobq.client.defining import JobDecorator, define
from jobq.client.function import AsyncJobFunction, JobFunction
from jobq.client.handle import JobHandle
from jobq.client.hooked import Hooked
from jobq.client.keyring import Keyring, Keys
from jobq.client.late import ASKING, QUEUE, load
from jobq.client.named import NamedCall
from jobq.client.options import AppOptions, CallOptions, JobOptions
from jobq.client.producer import Producer
from jobq.client.schedules import Schedules
from jobq.client.sending import Sending
from jobq.core.checks import check_most, check_queue
from jobq.core.codec import Codec
from jobq.core.duration import Duration
from jobq.core.ids import check_job_id
from jobq.core.lease import DEFAULT_LEASE, check_lease
from jobq.core.options import (
    APP_OPTIONS,
    DECLARATION_OPTIONS,
    DEFAULT_QUEUE,
    SCHEDULE_OPTIONS,
    UNSET,
    Options,
    durability,
    parse_options,
)
from jobq.core.placing import DEFAULT_MAX_DELAY, check_max_delay
from jobq.core.registry import Registry
from jobq.core.signing import Signer
from jobq.store.sync import Store

if TYPE_CHECKING:
    from jobq.client.queue import Queue
    from jobq.store.aio import AsyncStore

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Plain = TypeVar("Plain")

#: The apps that were given no URL: tests bind them to a server of their own.
unnamed: "WeakSet[JobQ]" = WeakSet()


class JobQ(Hooked):
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
        max_delay: how far ahead a job may be due, so that a wrong unit is told at the call; a year
            if not given.
        defaults: options for all its job functions, see `jobq.client.options.AppOptions`.

    Attributes:
        name: what banners call the app.
        lease: in seconds.
        max_delay: in seconds.
        registry: its job functions.
        codec: encodes calls and decodes results, with its registered types.
        schedules: what makes jobs at certain times: add, list, pause, remove.

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
        max_delay: Duration = DEFAULT_MAX_DELAY,
        **defaults: Unpack[AppOptions],
    ) -> None:
        self.name: str = name or "jobq"
        self.lease: float = check_lease(lease, "JobQ(lease=...)")
        self._defaults = parse_options(defaults, where="JobQ()", accepts=APP_OPTIONS)
        keyring = Keyring(signing_keys, accept_unsigned)
        producer = Producer(
            url,
            keyring=keyring,
            most=check_most(max_queue_size),
            max_delay=check_max_delay(max_delay),
        )
        super().__init__(producer)
        self._producer = producer
        self.registry: Registry = producer.registry
        self.codec: Codec = producer.codec
        self.max_delay: float = producer.max_delay
        self._sendings: dict[str, Sending] = {}
        self.schedules: Schedules = Schedules(producer)
        if url is None:
            unnamed.add(self)

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
        timing = {option: given for option, given in options.items() if option in SCHEDULE_OPTIONS}
        others = {option: given for option, given in options.items() if option not in timing}
        accepts = DECLARATION_OPTIONS | SCHEDULE_OPTIONS
        parsed = parse_options(others, where="@job", accepts=accepts)
        if function is None:
            return partial(self._define, parsed, timing)
        return self._define(parsed, timing, function)

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
        defaults = self._defaults
        sending = Sending(
            self._producer,
            "",
            queue,
            placing=self._producer.place(defaults.placing, "JobQ()"),
            durability=durability(defaults),
        )
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

    def queue(self, name: str) -> "Queue":
        """Return a queue: to pause, resume, purge, move or drain it.

        Raises:
            OptionError: no queue can have that name.
        """
        return cast("Queue", load(QUEUE).Queue(self._producer, name))

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

    def _define(self, options: Options, timing: Mapping[str, object], decorated: object) -> object:
        merged = options.over(self._defaults)
        return define(self._producer, self._sendings, merged, timing, decorated)

    def _handle(self, job_id: str, queue: str) -> JobHandle[object]:
        return JobHandle(self._producer, check_queue(queue), job_id)
