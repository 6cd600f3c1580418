"""How a worker with a loop talks to Redis: one connection talks, one waits for jobs."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from jobq.errors import StoreDenied, StoreError, StoreUnavailable
from jobq.runtime.board import CAPACITY, Board
from jobq.runtime.intake import Intake
from jobq.runtime.link import BACKOFF, Freshness, renew_lost
from jobq.runtime.outbox import Outbox
from jobq.store.connect import Locate
from jobq.store.multiplex import AsyncConnection
from jobq.store.ops import fetch, upkeep
from jobq.store.wire import Answer, Answers, AnyOp

log = logging.getLogger("jobq.worker")


class Pump:
    """The loop's two connections: one talks, one waits for jobs.

    Args:
        freshness: knows what has been read too late.

    Attributes:
        down: Redis did not answer the last time.
    """

    def __init__(
        self,
        locate: Locate,
        intake: Intake,
        outbox: Outbox,
        board: Board,
        *,
        consumer: str,
        stopping: Callable[[], bool],
        freshness: Freshness,
    ) -> None:
        self.down = False
        #: A connection was cut: what it delivered unseen must be found before more is fetched.
        self._lost = False
        self._intake = intake
        self._outbox = outbox
        self._board = board
        self._consumer = consumer
        self._stopping = stopping
        self._freshness = freshness
        self._waits_since = 0.0
        self._reading: asyncio.Future[Answer] | None = None
        self._talk = AsyncConnection(locate, resend=False)
        self._wait = AsyncConnection(locate, resend=False)

    async def trip(self, ops: Sequence[AnyOp]) -> Answers:
        """Send all outcomes and then these ops, in one write. See `Link.trip`."""
        # A wait that is out may have brought what we have not seen: then we do not know how many
        # we hold, and as many as Redis says can be others.
        posting = self._outbox.take(alone=self._reading is None)
        if not posting.ops and not ops:
            return []
        began = self._freshness.now()
        futures = [self._talk.submit(op) for op in (*posting.ops, *ops)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        for answer in answers:
            self.down = isinstance(answer, StoreUnavailable)
            if self.down or (
                isinstance(answer, BaseException) and not isinstance(answer, StoreError)
            ):
                self._outbox.put_back(posting)
                self._lost = True
                raise answer
        sent = len(posting.ops)
        if sent:
            self._board.drop(self._outbox.settled(posting, answers[:sent]))
            await self._mend()
        if ops:
            self._check_age(began)
        return answers[sent:]

    def _check_age(self, began: float) -> None:
        """Read nothing that has come too late. See `Link.finish`."""
        if self._freshness.is_over(began):
            self._lost = True
            raise StoreUnavailable("the answer was read later than the lease")

    async def _mend(self) -> None:
        """See `Link`."""
        for queue in list(self._outbox.groupless):
            self._outbox.groupless.discard(queue)
            try:
                await self._talk.run(upkeep.regroup(queue))
            except StoreUnavailable:
                self._lost = True
                raise

    async def flush(self) -> None:
        """Settle what has happened; when Redis is away it is kept."""
        try:
            await self.trip(())
        except StoreUnavailable as error:
            log.debug("kept outcomes error=%s", error)
            await asyncio.sleep(0.1)
        else:
            if self._outbox.refused:
                await asyncio.sleep(0.1)

    async def fetch(self, want: int, kinds: str, *, new: bool) -> int:
        """Settle what has happened and take up to ``want`` jobs, queue by queue in their order."""
        self._check()
        if self._outbox.missed:  # see `Outbox`; no wait is out, so nothing is on its way to us
            await self._adopt_all()
        total = 0
        for source, share in self._intake.turns(want):
            most = min(share, want - total)
            ops = source.ops(most, kinds, new=new)
            taken, mend = self._intake.took(source, await self.trip(ops))
            if not taken and len(ops) == 1 and new:
                source.due_in = None
                again = await self.trip(source.ops(most, kinds))
                taken, mend = self._intake.took(source, again)
            if mend:
                await self.trip(mend)
            total += taken
            if total >= want:
                break
        return total

    def start_wait(self, block: float) -> "asyncio.Future[Answer]":
        """Begin to wait for a job; the wait is never cancelled, or deliveries would be lost."""
        self._check()
        self._waits_since = self._freshness.now()
        self._reading = self._wait.submit(self._intake.wait_op(block))
        return self._reading

    def _check(self) -> None:
        if self._lost:
            raise StoreUnavailable("the connection was lost")

    async def woke(self, reading: "asyncio.Future[Answer]") -> None:
        """Hold what a wait has brought."""
        self._reading = None
        try:
            answer = reading.result()
        except StoreUnavailable:
            self._lost = True
            raise
        except StoreError as error:
            answer = error
        self._check_age(self._waits_since)
        _, mend = self._intake.woke(answer)
        if mend:
            await self.trip(mend)
            await asyncio.sleep(0.1)  # a group that is destroyed again and again: do not spin

    async def is_empty(self) -> bool:
        """Whether nothing waits or runs anywhere in the queues, but for what is paused."""
        return self._intake.is_empty(await self.trip(self._intake.counts()))

    async def connect(self) -> None:
        """Connect, however long it takes; then hold what was delivered and never seen.

        Comes back without a connection when the worker is to stop.
        """
        pause, most = BACKOFF
        told = False
        while not self._stopping():
            try:
                await self._greet()
            except StoreDenied:
                raise
            except StoreError as error:
                self.down = True
                if not told:
                    log.warning("lost redis error=%s", error)
                    told = True
                await self._rest(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter
                pause = min(most, 2 * pause)
            else:
                self.down = self._lost = False
                if told:
                    log.warning("found redis again")
                return

    async def _rest(self, seconds: float) -> None:
        """Wait, but not much longer than until the worker is to stop."""
        while seconds > 0 and not self._stopping():
            await asyncio.sleep(min(seconds, 0.1))
            seconds -= 0.1

    async def close(self) -> None:
        """Close both connections."""
        await self._talk.close()
        await self._wait.close()

    async def _greet(self) -> None:
        self._board.connected(await self._wait.run(upkeep.client_id()))
        now_ms = await self._talk.run(upkeep.time_ms())
        self._board.offset = now_ms - self._freshness.now() * 1000
        self._intake.greeted([await self._talk.run(op) for op in self._intake.greeting()])
        await self._adopt_all()

    async def _adopt_all(self) -> None:
        self._outbox.missed = False
        for line, letter, stream in self._intake.streams():
            held = await self._talk.run(fetch.mine(line, stream, self._consumer, count=CAPACITY))
            if lost := self._intake.not_in_hand(line, letter, held):
                gone = await self._talk.run(renew_lost(stream, self._consumer, lost))
                held = [one for one in lost if one.entry.decode() not in gone]
                self._intake.adopt(line, letter, held)
