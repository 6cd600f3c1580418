"""What a supervisor does in Redis: leases, wake-ups, recovery, presence; each on its own timer."""

import logging
import os
import random
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import msgpack

from jobq.core.clock import Clock
from jobq.errors import StoreError, StoreUnavailable
from jobq.runtime.board import WAITING
from jobq.runtime.children import Child
from jobq.runtime.hello import Hello
from jobq.runtime.reaper import PAGE, Reaper
from jobq.runtime.recovery import recover
from jobq.runtime.settings import WorkerSettings
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connect import Locate
from jobq.store.connection import Connection
from jobq.store.ops import enqueue, fetch, upkeep
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Seconds between two words to the register of workers, and after how many we are forgotten.
BEAT: Final = 2.0
SILENT: Final = 30.0

#: Seconds between sweeps of stale lanes, and after how many a lane is stale.
SWEEP: Final = 600.0
LANE_AGE: Final = 86_400.0

#: Leases are renewed this many times before they run out, and scanned this often in a lease.
RENEWALS: Final = 4
SCANS: Final = 3

#: Seconds between attempts to reach Redis: the first, and the longest.
BACKOFF: Final = (0.05, 5.0)


VERSION: Final = version("jobq")


class Upkeep:
    """The services of a supervisor, run from its loop.

    Attributes:
        suspects_wait: a job is due that must run alone.
    """

    def __init__(self, hello: Hello, settings: WorkerSettings, *, clock: Clock) -> None:
        self.suspects_wait = False
        self._hello = hello
        self._settings = settings
        self._clock = clock
        self._connection = Connection(_at(hello.url))
        self._reaper = Reaper(self._exchange, settings.lease)
        self._timers = {
            self._beat: (BEAT, 0.0),
            self._renew: (settings.lease / RENEWALS, clock.monotonic() + settings.lease / RENEWALS),
            self._reap: (settings.lease / SCANS, clock.monotonic() + settings.lease / SCANS),
            self._sweep: (SWEEP, clock.monotonic() + random.uniform(0, SWEEP)),  # noqa: S311
        }
        self._children: Sequence[Child] = ()
        self._dead: list[tuple[Child, str | None]] = []
        self._draining = False
        self._offset_ms = 0.0
        self._down_until = 0.0
        self._pause = BACKOFF[0]
        self._refusal = ""

    def tick(self, children: Sequence[Child]) -> None:
        """Do what is due; never raises for a Redis that is away or refuses."""
        self._children = children
        now = self._clock.monotonic()
        if now < self._down_until:
            return
        try:
            self._recover_dead()
            self._wake()
            for service, (interval, at) in list(self._timers.items()):
                if now >= at:
                    self._timers[service] = (interval, now + interval)
                    service()
        except StoreUnavailable as error:
            self._is_down(error)
        except StoreError as error:
            if self._refusal != (refusal := str(error)):  # one line for each change of state
                log.warning("refused by redis error=%s", error)
            self._refusal = refusal
            self._down_until = now + 1.0
        else:
            if self._pause > BACKOFF[0]:
                log.warning("found redis again")
            self._pause = BACKOFF[0]
            self._refusal = ""

    def died(self, child: Child, how: str, *, charged: bool) -> None:
        """Give what a dead worker held to others, now or when Redis is back.

        Args:
            how: it ended, in words.
            charged: it was not us who killed it: the job that ran is charged a crash.
        """
        self._dead.append((child, how if charged else None))

    def ended(self, child: Child) -> None:
        """Forget a worker that ended well; it gave everything back itself."""
        self._dead.append((child, None))

    def drain(self, children: Sequence[Child]) -> None:
        """Say that the workers are stopping, and end the waits of those that wait for jobs."""
        self._draining = True
        self._children = children
        self._timers[self._beat] = (BEAT, 0.0)

    def leave(self) -> None:
        """Recover what is left, and take the supervisor off the register."""
        try:
            self._recover_dead()
            self._exchange([upkeep.leave(self._settings.name)])
        except StoreError as error:
            log.warning("left without a word error=%s", error)
        self._connection.close()

    def forget(self) -> None:
        """In a forked worker: close the supervisor's socket without a word."""
        self._connection.close()

    # services

    def _beat(self) -> None:
        record = {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "app": self._hello.app,
            "version": VERSION,
            "queues": list(self._hello.queues),
            "jobs": list(self._hello.jobs),
            "processes": self._settings.processes,
            "threads": self._settings.threads,
            "concurrency": self._settings.concurrency,
            "lease": self._settings.lease,
            "started_ms": self._started_ms(),
            "running": sum(child.board.running for child in self._children),
            "state": "draining" if self._draining else "running",
        }
        ops: list[AnyOp] = [upkeep.beat(self._settings.name, msgpack.packb(record), SILENT)]
        ops += [enqueue.register_queue(queue) for queue in self._hello.queues]
        answers = self._exchange(ops)
        if not isinstance(answers[0], StoreError):
            self._offset_ms = answers[0] - self._clock.monotonic() * 1000

    def _renew(self) -> None:
        ops = []
        for child in self._children:
            held: dict[str, list[str]] = {}
            for place in child.board.read():
                queue = self._hello.queues[place.queue]
                stream = keys.retries(queue) if place.retries else keys.jobs(queue)
                held.setdefault(stream, []).append(place.entry)
            ops += [upkeep.renew(stream, child.consumer, ids) for stream, ids in held.items()]
        if ops:
            self._exchange(ops)

    def _reap(self) -> None:
        own = {child.consumer for child in self._children}
        own |= {child.consumer for child, _ in self._dead}
        self._reaper.look(self._hello.queues, own, int(self._now_ms()))

    def _sweep(self) -> None:
        before = self._now_ms() - LANE_AGE * 1000
        self._exchange([upkeep.sweep_lanes(queue, before) for queue in self._hello.queues])

    def _wake(self) -> None:
        """End the waits of idle workers when a retry is due, or when they are to stop."""
        waiting = [child for child in self._children if child.board.state == WAITING]
        ops: list[AnyOp] = [upkeep.due_soon(queue) for queue in self._hello.queues]
        now_ms = self._now_ms()
        ready: set[str] = set()
        for answer in self._exchange(ops):
            if not isinstance(answer, StoreError):
                ready |= {letter for letter, at in answer if at <= now_ms}
        self.suspects_wait = fetch.SUSPECT in ready
        if waiting and (self._draining or ready - {fetch.SUSPECT}):
            self._exchange([upkeep.unblock(child.board.client) for child in waiting])

    def _recover_dead(self) -> None:
        while self._dead:
            child, how = self._dead[0]
            started = {
                (self._hello.queues[place.queue], place.retries, place.entry.encode())
                for place in child.board.read()
                if place.started
            }
            charged = released = 0
            for queue in self._hello.queues:
                for in_retries in (False, True):
                    one, other = self._recover(child, queue, in_retries, started, how)
                    charged, released = charged + one, released + other
            if charged or released:
                log.warning(
                    "recovered jobs worker=%s charged=%d released=%d",
                    child.consumer,
                    charged,
                    released,
                )
            self._dead.pop(0)

    def _recover(
        self,
        child: Child,
        queue: str,
        in_retries: bool,
        started: set[tuple[str, bool, bytes]],
        how: str | None,
    ) -> tuple[int, int]:
        stream = keys.retries(queue) if in_retries else keys.jobs(queue)
        charged = released = 0
        while True:
            (page,) = self._exchange([fetch.mine(queue, stream, child.consumer, count=PAGE)])
            if isinstance(page, StoreError) and page.code != "NOGROUP":
                raise page  # Redis is loading, say: what the worker held will still be there
            if isinstance(page, StoreError) or not page:
                self._exchange([upkeep.forget(stream, child.consumer)])
                return charged, released
            ops = []
            for held in page:
                ran = how is not None and (queue, in_retries, held.entry) in started
                charged, released = charged + ran, released + (not ran)
                ops.append(
                    recover(
                        queue,
                        child.consumer,
                        held,
                        in_retries=in_retries,
                        crash=how if ran else None,
                        now_ms=int(self._now_ms()),
                    )
                )
            for answer in self._exchange(ops):
                if isinstance(answer, StoreError):
                    raise answer

    # how it is done

    def _exchange(self, ops: list[AnyOp]) -> Answers:
        return self._connection.exchange(ops) if ops else []

    def _now_ms(self) -> float:
        """Redis time, as of the last beat: one clock for all hosts."""
        return self._clock.monotonic() * 1000 + self._offset_ms

    def _started_ms(self) -> int:
        oldest = min((child.born for child in self._children), default=self._clock.monotonic())
        return int(self._clock.time() * 1000 - (self._clock.monotonic() - oldest) * 1000)

    def _is_down(self, error: StoreError) -> None:
        if self._pause == BACKOFF[0]:
            log.warning("lost redis error=%s", error)
        self._down_until = self._clock.monotonic() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311
        self._pause = min(BACKOFF[1], 2 * self._pause)


def _at(url: str) -> Locate:
    address = parse_url(url)
    return lambda: address
