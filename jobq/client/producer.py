"""The sending side of an app: its Redis, its codec, and what Redis was told already."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from jobq.client.keyring import Keyring
from jobq.client.late import AROUND, ASYNC_SIDE, load
from jobq.client.where import Where
from jobq.core.clock import Clock, SystemClock
from jobq.core.codec import Codec
from jobq.core.placing import DEFAULT_MAX_DELAY, Placing, place
from jobq.core.registry import Registry
from jobq.core.signing import Signer
from jobq.store.address import Address, parse_url
from jobq.store.ops.enqueue import register_queue
from jobq.store.sync import Store
from jobq.store.wire import Op

if TYPE_CHECKING:
    from jobq.client.aio import AsyncSide
    from jobq.client.around import Around
    from jobq.core.hooks import AroundEnqueue

T = TypeVar("T")


class Producer:
    """What the job functions and the handles of one app share.

    Args:
        url: see `jobq.client.where.Where`.
        keyring: the signing keys.
        most: jobs that a queue may have, in any state; None: as many as fit into Redis.
        max_delay: seconds from now after which no job may be due.

    Attributes:
        most: the same.
        max_delay: the same.
        special: calls are signed, queues have a limit, or there is middleware; or that is not
            known yet.
        around: the middleware around calls; None: there is none.
        where: where Redis is.
        codec: encodes calls and decodes results.
        registry: the job functions.
        store: Redis for blocking code; opened at first use.
    """

    def __init__(
        self,
        url: str | None,
        *,
        keyring: Keyring | None = None,
        most: int | None = None,
        max_delay: float = DEFAULT_MAX_DELAY,
        clock: Clock = SystemClock(),
    ) -> None:
        self.most: int | None = most
        self.max_delay: float = max_delay
        self._clock = clock
        self.special: bool = True
        self._keyring = keyring or Keyring(None, None)
        self._signer: Signer | None = None
        self._asked = False
        self.around: Around | None = None
        self.where: Where = Where(url)
        self.codec: Codec = Codec()
        self.registry: Registry = Registry()
        self.store: Store = Store(self._locate)
        self._registered: set[str] = set()
        self._aio: AsyncSide | None = None

    @property
    def signer(self) -> Signer | None:
        """What signs calls; None: nothing is signed. Asked for at first use."""
        # No cached_property: it would make each look at the others slower.
        if not self._asked:
            self._signer = self._keyring.signer()
            self._asked = True
        return self._signer

    @property
    def aio(self) -> "AsyncSide":
        """Redis for event loops; made at first use."""
        if self._aio is None:
            self._aio = cast("AsyncSide", load(ASYNC_SIDE).AsyncSide(self._locate))
        return self._aio

    def goes_through(self, middleware: "Sequence[AroundEnqueue]") -> None:
        """Let no call go past middleware any more; the first one is the outermost."""
        self.around = cast("Around", load(AROUND).Around(middleware))
        self.special = True

    def place(
        self, given: Mapping[str, object], where: str, lower: Placing | None = None
    ) -> Placing | None:
        """Bring together the options of `jobq.core.placing`. See `jobq.core.placing.place`."""
        if not given:
            return lower
        now = self._clock.time()
        return place(given, where=where, lower=lower, max_delay=self.max_delay, now=now)

    def run(self, queue: str, op: Op[T]) -> T:
        """Run an op that adds to a queue; at its first use, make the queue known before."""
        if queue not in self._registered:
            self._register(queue)
        return self.store.run(op)

    def run_each(self, queue: str, ops: Iterable[Op[T]]) -> Iterator[T]:
        """Run ops that add to a queue, one after the other. See `run`."""
        self._register(queue)
        return self.store.run_each(ops)

    def arun(self, queue: str, op: Op[T]) -> Awaitable[T]:
        """See `run`."""
        if queue in self._registered:
            return self.aio.store.submit(op)
        return self._arun_first(queue, op)

    async def arun_all(self, queue: str, ops: Sequence[Op[T]]) -> "list[T | BaseException]":
        """Run ops that add to a queue, all on their way at once. See `AsyncSide.run_all`."""
        if queue not in self._registered:
            await self.aio.store.run(register_queue(queue))
            self._registered.add(queue)
        return await self.aio.run_all(ops)

    async def _arun_first(self, queue: str, op: Op[T]) -> T:
        await self.aio.store.run(register_queue(queue))
        self._registered.add(queue)
        return await self.aio.store.run(op)

    def close(self) -> None:
        """Close the connections for blocking code; all can be used again."""
        self.store.close()
        self._forget()

    async def aclose(self) -> None:
        """Close all connections of this thread and of the running loop."""
        if self._aio is not None:
            await self._aio.store.close()
        self.close()

    def bind(self, url: str, clock: Clock) -> Callable[[], None]:
        """Use another Redis for a while, as tests do: nothing reaches the one before meanwhile.

        Args:
            url: where it is.
            clock: its time.

        Returns:
            What ends it.
        """
        before = self.where, self.store, self._aio, self._clock
        self.close()
        self.where, self.store, self._aio = Where(url), Store(self._locate), None
        self._clock = clock

        def release() -> None:
            self.close()
            self.where, self.store, self._aio, self._clock = before

        return release

    def _register(self, queue: str) -> None:
        if queue not in self._registered:
            self.store.run(register_queue(queue))
            self._registered.add(queue)

    def _forget(self) -> None:
        self._registered.clear()
        self.where.forget()
        self._asked, self.special = False, True  # JOBQ_SIGNING_KEYS is asked again too

    def _locate(self) -> Address:
        return parse_url(self.where.redis_url())
