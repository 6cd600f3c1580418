"""Expired leases: jobs of workers whose whole host is gone, taken over by whoever notices.

And what is in nobody's hands although its worker lives: a delivery that Redis sent to a connection
that was gone; a retry whose time somebody has deleted.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgpack

from jobq.core.lines import lines_of, queue_of
from jobq.errors import StoreError
from jobq.runtime.children import Child
from jobq.runtime.recovery import PAGE, Crashed, Fate, Released, Terms, recover
from jobq.store import keys
from jobq.store.keys import PARKED
from jobq.store.ops import fetch, inspect, upkeep
from jobq.store.ops.fetch import Held
from jobq.store.ops.inspect import Presence
from jobq.store.wire import Answers, AnyOp, Op

log = logging.getLogger("jobq.supervisor")

#: ms after which a consumer that holds nothing is forgotten: they are never used again.
FORGET_AFTER: Final = 3_600_000

#: ms after which a supervisor that has said nothing is not believed to live: three of its beats.
SILENT: Final = 6_000

#: The longest lease that is believed, in seconds.
LONGEST: Final = 1e6

#: An entry whose lease has run out: its stream, itself, its owner, its delivery count.
Suspicion = tuple[str, bytes, str, int]

Exchange = Callable[[list[AnyOp]], Answers]


@dataclass(frozen=True, slots=True)
class _Where:
    """A consumer of a stream, and whether it is a worker of ours that lives."""

    line: str
    stream: str
    in_retries: bool
    consumer: str
    child: Child | None

    def held(self) -> set[bytes]:
        """What the worker has in its hands, as far as we can know."""
        if self.child is None:
            return set()
        return {
            key.entry.encode()
            for key, _ in self.child.holds()
            if (key.queue, key.in_retries) == (self.line, self.in_retries)
        }

    def fate(self, held: Held) -> Fate:
        """What becomes of an entry whose lease has run out."""
        if self.child is not None:
            return Released()  # it never reached the worker
        return Crashed(f"lost with its host or silent for {held.idle / 1000:.0f} s", certain=False)

    def tell(self, jobs: int) -> None:
        """Log how many were taken over."""
        said = (jobs, queue_of(self.line), self.consumer)
        if self.child is not None:
            log.warning("found lost deliveries jobs=%d queue=%s worker=%s", *said)
        else:
            log.warning("took over jobs=%d queue=%s worker=%s", *said)


class Reaper:
    """Takes over what had an expired lease at two looks, of the same owner.

    Two, because a frozen or restarted Redis, or a step of its clock, makes the leases of healthy
    workers look expired for a moment; they renew them before the second look.

    A supervisor with a longer lease than ours renews less often. So as long as the register says
    that it lives, what it holds is judged by its own lease, which stands there too.

    Args:
        exchange: runs ops on the supervisor's connection.

    Attributes:
        lease: seconds.
        terms: what jobs are judged by; of job functions that our app does not know, the defaults.
    """

    def __init__(self, exchange: Exchange, lease: float, terms: Terms) -> None:
        self.lease = lease
        self.terms = terms
        self._exchange = exchange
        self._seen: set[Suspicion] = set()
        #: By name, of the supervisors that live.
        self._leases: dict[str, float] = {}
        #: The queues that had more that waits than times, as of the last look.
        self._untimed: set[str] = set()

    def look(
        self,
        queues: Collection[str],
        living: Mapping[str, Child],
        dead: Collection[str],
        now_ms: int,
    ) -> None:
        """Look once at all queues.

        Args:
            living: our own workers by consumer; what stands on their boards is renewed.
            dead: the consumers of those that have died and are being recovered.
            now_ms: Redis time.
        """
        seen: set[Suspicion] = set()
        untimed: set[str] = set()
        self._learn_leases(now_ms)
        for queue in queues:
            streams = [(line, False, keys.jobs(line)) for line in lines_of(queue)]
            streams.append((queue, True, keys.retries(queue)))
            every = self._consumers([stream for _, _, stream in streams])
            parked = 0
            for (line, in_retries, stream), consumers in zip(streams, every, strict=True):
                for consumer in consumers:
                    if consumer.name == PARKED:
                        parked += consumer.pending
                    elif consumer.name in dead:
                        continue
                    elif consumer.pending:
                        child = living.get(consumer.name)
                        where = _Where(line, stream, in_retries, consumer.name, child)
                        seen |= self._look_at(where, now_ms)
                    elif consumer.name not in living and consumer.idle > FORGET_AFTER:
                        self._exchange([upkeep.forget(stream, consumer.name)])
            untimed |= self._look_at_waiting(queue, parked)
        self._seen = seen
        self._untimed = untimed

    def _learn_leases(self, now_ms: int) -> None:
        (answer,) = self._exchange([inspect.workers()])
        self._leases = {} if isinstance(answer, StoreError) else _leases(answer, now_ms)

    def _lease_of(self, consumer: str) -> float:
        return max(self.lease, self._leases.get(consumer.rpartition("#")[0], 0.0))

    def _consumers(self, streams: Iterable[str]) -> list[list[upkeep.Consumer]]:
        answers = self._exchange([upkeep.consumers(stream) for stream in streams])
        # An error: there is no such stream or group, and nothing was ever fetched from it.
        return [[] if isinstance(answer, StoreError) else answer for answer in answers]

    def _look_at(self, where: _Where, now_ms: int) -> set[Suspicion]:
        seen: set[Suspicion] = set()
        after = "-"
        while True:
            page = self._page(where, after)
            taken: list[AnyOp] = []
            held_there = where.held() if page else set()
            for held in page:
                suspicion = (where.stream, held.entry, where.consumer, held.count)
                if held.entry in held_there:
                    continue
                if suspicion not in self._seen:
                    seen.add(suspicion)
                    continue
                taken.append(
                    recover(
                        held,
                        where.fate(held),
                        line=where.line,
                        consumer=where.consumer,
                        in_retries=where.in_retries,
                        terms=self.terms,
                        now_ms=now_ms,
                    )
                )
            if taken:
                where.tell(len(taken))
                self._exchange(taken)
            if len(page) < PAGE:
                return seen
            after = f"({page[-1].entry.decode()}"

    def _look_at_waiting(self, queue: str, parked: int) -> set[str]:
        """Let what waits become due that has no time, when that is so at two looks."""
        timed, delayed = self._exchange(upkeep.timed(queue))
        if isinstance(timed, StoreError) or isinstance(delayed, StoreError):
            return set()
        if parked + delayed <= timed:
            return set()
        if queue not in self._untimed:
            return {queue}
        met, after = 0, "-" if parked else ""
        while after:
            last, some = self._remind(upkeep.remind(queue, after, PAGE))
            met, after = met + some, last and f"({last}"
        after = "0" if delayed else ""
        while after:
            last, some = self._remind(upkeep.remind_delayed(queue, after, PAGE))
            met, after = met + some, last if last != "0" else ""
        log.warning("found jobs without a time jobs=%d queue=%s", met, queue)
        return set()

    def _remind(self, op: Op[tuple[str, int]]) -> tuple[str, int]:
        (answer,) = self._exchange([op])
        if isinstance(answer, StoreError):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _page(self, where: _Where, after: str) -> list[Held]:
        idle = int(self._lease_of(where.consumer) * 1000)
        op = fetch.mine(
            where.line, where.stream, where.consumer, after=after, count=PAGE, idle=idle
        )
        (answer,) = self._exchange([op])
        if isinstance(answer, StoreError):
            raise answer
        return answer  # type: ignore[no-any-return]


def _leases(register: Iterable[Presence], now_ms: int) -> dict[str, float]:
    """Return the leases of those that live, by name; of whose record cannot be read, none."""
    found: dict[str, float] = {}
    for one in register:
        if one.seen_ms < now_ms - SILENT:
            continue
        try:
            record: object = msgpack.unpackb(one.record)
        except Exception:  # noqa: BLE001, S112  msgpack raises many kinds over garbage
            continue
        match record:
            case {"lease": int() | float() as lease} if 0 < lease < LONGEST:
                found[one.name] = float(lease)
    return found
