"""A worker's own connection to Redis from blocking code: outcomes out, jobs in, over cuts.

Guarantees:
    * an outcome leaves the outbox only when Redis has answered for it;
    * after every cut the worker looks for jobs that it was given and never saw;
    * what was delivered longer ago than the lease is not started before it has been renewed.
"""

import logging
import random
import threading
from collections.abc import Sequence
from typing import Final

from jobq.core.clock import Clock
from jobq.errors import StoreDenied, StoreError, StoreUnavailable
from jobq.runtime.board import CAPACITY, Board
from jobq.runtime.intake import Intake
from jobq.runtime.outbox import Outbox, Posting
from jobq.store.connection import Connection
from jobq.store.ops import fetch, upkeep
from jobq.store.wire import Answers, AnyOp, Op

log = logging.getLogger("jobq.worker")

#: Seconds between attempts to reach Redis: the first, and the longest.
BACKOFF: Final = (0.05, 5.0)


class Freshness:
    """Knows whether what was delivered may be with others by now.

    Nobody has read it for so long because a job held Python's lock, say, or the process was
    stopped. Then a reaper took it for lost. So it is not started; what is still ours is asked for.

    Args:
        lease: seconds.
    """

    def __init__(self, clock: Clock, lease: float) -> None:
        self.now = clock.monotonic
        # A reaper looks twice, a third of a lease apart.
        self._limit = 1.25 * lease

    def is_over(self, since: float) -> bool:
        """Tell whether a delivery is too old that was asked for at a moment of `now`."""
        return self.now() - since > self._limit


class Link:
    """The connection, the outbox and the intake of one worker, kept in step.

    Args:
        stop: is set when the worker is to stop.
        freshness: knows what has been read too late.
        alone: no other link settles for this worker at the same time.
    """

    def __init__(
        self,
        connection: Connection,
        intake: Intake,
        outbox: Outbox,
        board: Board,
        *,
        consumer: str,
        stop: threading.Event,
        freshness: Freshness,
        alone: bool = True,
    ) -> None:
        self._connection = connection
        self._intake = intake
        self._outbox = outbox
        self._board = board
        self._consumer = consumer
        self._stop = stop
        self._freshness = freshness
        self._alone = alone
        self._lost = False
        self._said_lost = False
        self._began = 0.0
        self._flying: tuple[Posting, list[AnyOp]] | None = None

    @property
    def refused(self) -> bool:
        """Whether Redis refused outcomes the last time."""
        return self._outbox.refused

    def trip(self, ops: Sequence[AnyOp]) -> Answers:
        """Send all outcomes and then these ops, in one round trip; return what these came to.

        Raises:
            StoreUnavailable: the connection was cut; the outcomes are kept.
        """
        self.begin(ops)
        return self.finish()

    def begin(self, ops: Sequence[AnyOp]) -> None:
        """Send all outcomes and then these ops; `finish` must follow. See `trip`."""
        if self._lost and self._alone:  # it would connect by itself, and miss what was delivered
            raise StoreUnavailable("the connection was lost")
        posting = self._outbox.take(alone=self._alone)
        every = [*posting.ops, *ops]
        self._flying = posting, every
        self._began = self._freshness.now()
        if every:
            try:
                self._connection.begin(every)
            except BaseException:
                self._land()
                raise

    def finish(self) -> Answers:
        """Return what the ops of `begin` came to.

        Raises:
            StoreUnavailable: the connection was cut, or the answer was read too late.
        """
        assert self._flying is not None
        posting, every = self._flying
        try:
            answers = self._connection.finish(every) if every else []
        except BaseException:
            self._land()
            raise
        self._flying = None
        sent = len(posting.ops)
        if sent:
            self._board.drop(self._outbox.settled(posting, answers[:sent]))
            self._mend()
        if len(every) > sent and self._freshness.is_over(self._began):
            self._lost = True
            raise StoreUnavailable("the answer was read later than the lease")
        return answers[sent:]

    def _mend(self) -> None:
        """Make the groups anew that an outcome has missed: the next trip takes it along."""
        ops = [upkeep.regroup(queue) for queue in self._outbox.groupless]
        if ops:
            self._outbox.groupless.clear()
            try:
                self._connection.exchange(ops)
            except BaseException:
                self._land()
                raise

    def _land(self) -> None:
        self._lost = True
        if self._flying is not None:
            self._outbox.put_back(self._flying[0])
            self._flying = None

    def connect(self) -> None:
        """Connect, however long it takes; then hold what was delivered and never seen.

        Raises:
            StoreDenied: the password is wrong, which waiting does not cure.
        """
        pause, most = BACKOFF
        while not self._stop.is_set():
            try:
                self._greet()
            except StoreDenied:
                raise
            except StoreError as error:
                self.say_lost(error)
                self._connection.close()
                self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  jitter
                pause = min(most, 2 * pause)
            else:
                if self._said_lost:
                    log.warning("found redis again")
                    self._said_lost = False
                return

    def reopen(self) -> None:
        """Connect once, for outcomes only: what is delivered is not looked at.

        Raises:
            StoreUnavailable: it cannot.
        """
        if self._lost:
            self._connection.close()
            self._connection.open()
            self._lost = False

    def say_lost(self, error: StoreError) -> None:
        """Say that Redis is away, once."""
        if not self._said_lost:
            log.warning("lost redis error=%s", error)
        self._said_lost = True

    def _greet(self) -> None:
        ops: list[AnyOp] = [upkeep.client_id(), upkeep.time_ms(), *self._intake.greeting()]
        client, now_ms, *rest = self._connection.exchange(ops)
        for answer in (client, now_ms, *rest):
            if isinstance(answer, StoreError):
                raise answer
        self._board.connected(client)
        self._board.offset = now_ms - self._freshness.now() * 1000
        self._intake.greeted(rest)
        self._adopt_all()
        self._lost = False

    def look_for_missed(self) -> None:
        """Hold what an outcome that was refused has hidden; nothing may be on its way to us."""
        if self._outbox.missed:
            self._adopt_all()

    def _adopt_all(self) -> None:
        self._outbox.missed = False
        for line, letter, stream in self._intake.streams():
            op = fetch.mine(line, stream, self._consumer, count=CAPACITY)
            (held,) = self._connection.exchange([op])
            if isinstance(held, StoreError):
                raise held
            if lost := self._intake.not_in_hand(line, letter, held):
                (gone,) = self._connection.exchange([renew_lost(stream, self._consumer, lost)])
                if isinstance(gone, StoreError):
                    raise gone
                held = [one for one in lost if one.entry.decode() not in gone]
                self._intake.adopt(line, letter, held)


def renew_lost(stream: str, consumer: str, lost: Sequence[fetch.Held]) -> Op[list[str]]:
    """Return the op that renews what was delivered and never seen, before it is started.

    A reaper may be about to take it. The answer is what is no longer ours.
    """
    # Redis would forget an entry that was deleted, which is still to be put away.
    return upkeep.renew(stream, consumer, [one.entry.decode() for one in lost if one.fields])
