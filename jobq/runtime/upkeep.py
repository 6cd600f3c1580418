"""What a supervisor does in Redis: leases, wake-ups, recovery, presence; each on its own timer."""

import logging
import os
import random
from collections.abc import Callable, Sequence
from typing import Final

import msgpack

from jobq.core.clock import Clock
from jobq.core.lease import RENEWALS, SCANS
from jobq.errors import StoreError, StoreUnavailable
from jobq.runtime.board import WAITING
from jobq.runtime.children import Child, Key
from jobq.runtime.control import Control, tell_lost
from jobq.runtime.deaths import Deaths
from jobq.runtime.hello import Hello
from jobq.runtime.late import LateScheduler
from jobq.runtime.pauses import Pauses
from jobq.runtime.reaper import Reaper
from jobq.runtime.recovery import Fate, Terms
from jobq.runtime.rolling import Roller
from jobq.runtime.rounds import TICK, Promoter, Round
from jobq.runtime.settings import WorkerSettings
from jobq.runtime.sweeping import Sweeper
from jobq.runtime.usage import Usage
from jobq.runtime.version import own_version
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connect import Locate
from jobq.store.connection import Connection
from jobq.store.ops import control, enqueue, upkeep
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Seconds between two words to the register of workers, and after how many we are forgotten.
BEAT: Final = 2.0
SILENT: Final = 30.0

#: Seconds between sweeps.
SWEEP: Final = 600.0

#: Seconds between looks at what Redis would do if its memory were full.
LOOK_AT_MEMORY: Final = 600.0

#: Seconds after which what is done in each round is tried again when it was refused.
REFUSED: Final = 1.0

#: Seconds between attempts to reach Redis: the first, and the longest.
BACKOFF: Final = (0.05, 5.0)


VERSION: Final = own_version()


class Hurry(BaseException):
    """Raised by a signal handler in a supervisor that waits for Redis: it has no time for that."""


class Upkeep:
    """The services of a supervisor, run from its loop.

    Attributes:
        suspects_wait: a job is due that must run alone.
        state: what the register says of the supervisor: running, draining, drained or stopping.
        control: what it was told through Redis.
        waits_since: when it began to wait for Redis, monotonic seconds; 0: it does not.
    """

    def __init__(self, hello: Hello, settings: WorkerSettings, *, clock: Clock) -> None:
        self.suspects_wait = False
        self.state = "running"
        self.control = Control(settings.name, settings.patience, clock)
        self.waits_since = 0.0
        self._hello = hello
        self._settings = settings
        self._clock = clock
        self._connection = Connection(_at(hello.url))
        self._deaths = Deaths(self._exchange, self._now_ms)
        self._reaper = Reaper(self._exchange, self.lease, self._terms)
        self._pauses = Pauses(lambda: self._queues, lambda: self._children)
        self._promoter = Promoter(lambda: self._queues, clock, self._pauses.is_paused)
        self._usage = Usage(self._exchange)
        self._sweeper = Sweeper(self._exchange)
        self._scheduler = LateScheduler(lambda: self._queues, self._now_ms, clock)
        self._scheduler.met(hello)
        roller = Roller(lambda: self._queues, self._now_ms, clock)
        parts = (self._pauses, self._promoter, self.control, self._scheduler, roller)
        self._round = Round(parts, self._exchange)
        now = clock.monotonic()
        #: What is done when next, monotonic seconds, and every how many seconds.
        self._due: dict[Callable[[], None], float] = {
            self._beat: 0.0,  # the first: it brings the time
            self._recover: 0.0,
            self._look: 0.0,
            self._renew: now + self.lease / RENEWALS,
            self._reap: now + self.lease / SCANS,
            self._sweep: now + random.uniform(0, SWEEP),  # noqa: S311
            self._look_at_memory: 0.0,
        }
        self._evicts = ""
        self._children: Sequence[Child] = ()
        self._started_ms = int(clock.time() * 1000)
        self._offset_ms = 0.0
        self._down_until = 0.0
        self._pause = BACKOFF[0]
        self._refusals: dict[Callable[[], None], str] = {}

    @property
    def lease(self) -> float:
        """The lease in effect, in seconds."""
        return lease_of(self._settings, self._hello)

    def met(self, hello: Hello) -> None:
        """Take in what a newer worker said: the app may have changed."""
        self._hello = hello
        self._reaper.lease = self.lease
        self._reaper.terms = self._terms
        self._scheduler.met(hello)

    def tick(self, children: Sequence[Child]) -> None:
        """Do what is due; never raises for a Redis that is away or refuses.

        Raises:
            Hurry: a signal handler did.
        """
        self._children = children
        now = self._clock.monotonic()
        if now >= self._down_until:
            self._tick(now)
        self.control.act(children)

    def _tick(self, now: float) -> None:
        try:
            for service, at in list(self._due.items()):
                if now >= at:
                    self._due[service] = now + self._interval(service)
                    self._do(service)
        except StoreUnavailable as error:
            self._is_down(error)
        else:
            if self._pause > BACKOFF[0]:
                log.warning("found redis again")
            self._pause = BACKOFF[0]

    def _do(self, service: Callable[[], None]) -> None:
        """Run a service; what goes wrong in one must not keep the others from their work."""
        try:
            service()
        except StoreUnavailable:
            raise
        except Exception as error:  # whatever it is, no worker must end because of it
            if not self._interval(service):
                self._due[service] = self._clock.monotonic() + REFUSED
            if self._refusals.get(service) != (refusal := repr(error)):  # not again and again
                self._refusals[service] = refusal
                if isinstance(error, StoreError):
                    log.warning("refused by redis error=%s", error)
                else:
                    log.exception("failed to look after workers")
        else:
            self._refusals.pop(service, None)

    def died(self, child: Child, fates: dict[Key, Fate]) -> None:
        """Give what a dead worker held to others, now or when Redis is back.

        Args:
            fates: of those of its jobs that are not just to be released.
        """
        self._deaths.add(child, fates)

    @property
    def rest(self) -> float:
        """Seconds until `tick` next has something to do that cannot wait for a usual round."""
        is_held_up = max(self._down_until, self._due[self._look]) > self._clock.monotonic()
        return TICK if is_held_up else self._round.rest(self._now_ms())

    def now_is(self, state: str) -> None:
        """Say what the supervisor does, in the next round."""
        self.state = state
        self._due[self._beat] = 0.0

    def hurry(self) -> None:
        """In a signal handler: end the wait for Redis, if it is in one.

        Raises:
            Hurry: it is; to be caught around `tick` and `leave`.
        """
        if self.waits_since:
            self.waits_since = 0.0
            raise Hurry

    def leave(self) -> None:
        """Recover what is left, and take the supervisor off the register.

        Raises:
            Hurry: a signal handler did.
        """
        try:
            self._recover()
            self._exchange([upkeep.leave(self._settings.name)])
        except StoreError as error:
            log.warning("left without a word error=%s", error)
        self._connection.close()

    def forget(self) -> None:
        """In a forked worker: close the supervisor's socket without a word."""
        self._connection.close()

    # services

    def _interval(self, service: Callable[[], None]) -> float:
        """Return the seconds from one time to the next; 0: it is done in each round."""
        intervals = {
            self._beat: BEAT,
            self._renew: self.lease / RENEWALS,
            self._reap: self.lease / SCANS,
            self._sweep: SWEEP,
            self._look_at_memory: LOOK_AT_MEMORY,
        }
        return intervals.get(service, 0.0)

    def _recover(self) -> None:
        self._deaths.recover(self._queues, self._terms)

    def _beat(self) -> None:
        record = {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "app": self._hello.app,
            "version": VERSION,
            "queues": list(self._queues),
            "weights": dict(zip(self._settings.queues, self._settings.weights, strict=False)),
            "jobs": list(self._hello.jobs),
            "kinds": self._hello.kinds,
            "processes": self._settings.processes,
            "threads": self._settings.threads,
            "concurrency": self._settings.concurrency,
            "lease": self.lease,
            "started_ms": self._started_ms,
            "running": sum(child.board.running for child in self._children),
            "state": self.state,
        }
        ops: list[AnyOp] = [
            upkeep.beat(self._settings.name, msgpack.packb(record), SILENT),
            control.last(),
        ]
        ops += [enqueue.register_queue(queue) for queue in self._queues]
        now_ms, last, *_ = self._exchange(ops)
        if not isinstance(now_ms, StoreError):
            self._set_time(now_ms)
        if not isinstance(last, StoreError):
            self.control.begin_after(last)

    def _renew(self) -> None:
        for child in self._children:
            self._renew_of(child)

    def _renew_of(self, child: Child) -> None:
        held: dict[tuple[str, bool], list[str]] = {}
        for key, _ in child.holds():
            held.setdefault((key.queue, key.in_retries), []).append(key.entry)
        ops: list[AnyOp] = [
            upkeep.renew(keys.retries(queue) if later else keys.jobs(queue), child.consumer, ids)
            for (queue, later), ids in held.items()
        ]
        at = self._clock.monotonic()  # before Redis did it: it is never later than that
        answers = self._exchange(ops)
        lost: list[Key] = []
        for (queue, later), answer in zip(held, answers, strict=True):
            if not isinstance(answer, StoreError):
                lost += [Key(queue, later, entry) for entry in answer]
        if not any(isinstance(answer, StoreError) for answer in answers):
            child.board.has_renewed(at)  # with nothing held too: Redis has just answered our look
        tell_lost(child, lost)

    def _reap(self) -> None:
        living = {child.consumer: child for child in self._children}
        self._reaper.look(self._queues, living, self._deaths.consumers, int(self._now_ms()))

    def _sweep(self) -> None:
        self._sweeper.sweep(self._queues, self._now_ms())

    def _look_at_memory(self) -> None:
        """Warn of a Redis that would delete jobs when its memory is full (G1)."""
        (policy,) = self._exchange([upkeep.eviction()])
        if isinstance(policy, StoreError):  # an ACL user need not be allowed to ask
            return
        if policy.startswith("allkeys") and policy != self._evicts:
            log.warning(
                "redis deletes jobs when its memory is full policy=%s "
                "fix='CONFIG SET maxmemory-policy noeviction, and in its configuration'",
                policy,
            )
        self._evicts = policy

    def _look(self) -> None:
        """Ask what all parts of the round want to know, in one round trip.

        Ends the waits of idle workers when a retry is due, when something was paused or resumed,
        or when they are to stop.
        """
        self._round.run()
        self._set_time(self._promoter.now_ms)
        self.suspects_wait = self._promoter.suspects_wait
        has_new_line = self._usage.tell(self._promoter.lines, self._children)
        work = self._round.wakes or has_new_line
        waiting = [
            upkeep.unblock(child.board.client)
            for child in self._children
            if child.board.state == WAITING
            and (
                work
                or self.state != "running"
                or child.leaving
                or not self._pauses.has_heeded(child)
            )
        ]
        self._exchange(waiting)

    # how it is done

    @property
    def _queues(self) -> tuple[str, ...]:
        """Those of the newest code, the first one first; then those of workers that have older."""
        older = [child.hello.queues for child in self._children if child.hello is not None]
        every = [self._hello.queues, *older]
        return tuple(dict.fromkeys(queue for queues in every for queue in queues))

    @property
    def _terms(self) -> Terms:
        return Terms(
            self._hello.policy_for,
            self._settings.patience,
            random.random,  # noqa: S311
            self._hello.listens,
        )

    def _exchange(self, ops: Sequence[AnyOp]) -> Answers:
        if not ops:
            return []
        self.waits_since = self._clock.monotonic()
        try:
            return self._connection.exchange(ops)
        finally:
            self.waits_since = 0.0

    def _set_time(self, now_ms: float | None) -> None:
        if now_ms is not None:
            self._offset_ms = now_ms - self._clock.monotonic() * 1000
            for child in self._children:
                child.board.offset = self._offset_ms

    def _now_ms(self) -> float:
        """Redis time, as of the last round: one clock for all hosts."""
        return self._clock.monotonic() * 1000 + self._offset_ms

    def _is_down(self, error: StoreError) -> None:
        if self._pause == BACKOFF[0]:
            log.warning("lost redis error=%s", error)
        self._down_until = self._clock.monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311
        # Back well before another supervisor has looked twice at leases that we could not renew,
        # and then they are the first thing.
        self._due[self._renew] = 0.0
        self._pause = min(BACKOFF[1], self.lease / (2 * SCANS), 2 * self._pause)


def lease_of(settings: WorkerSettings, hello: Hello) -> float:
    """Return the lease in effect, in seconds: that of the command line, else that of the app."""
    return hello.lease if settings.lease is None else settings.lease


def _at(url: str) -> Locate:
    address = parse_url(url)
    return lambda: address
