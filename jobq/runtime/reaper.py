"""Expired leases: jobs of workers whose whole host is gone, taken over by whoever notices."""

import logging
from collections.abc import Callable, Collection
from typing import Final

from jobq.errors import StoreError
from jobq.runtime.recovery import recover
from jobq.store import keys
from jobq.store.keys import PARKED
from jobq.store.ops import fetch, upkeep
from jobq.store.ops.fetch import Held
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

#: Jobs that are looked at in one trip.
PAGE: Final = 100

#: ms after which a consumer that holds nothing is forgotten: they are never used again.
FORGET_AFTER: Final = 3_600_000

#: An entry whose lease has run out: its stream, itself, its owner, its delivery count.
Suspicion = tuple[str, bytes, str, int]

Exchange = Callable[[list[AnyOp]], Answers]


class Reaper:
    """Takes over what had an expired lease at two looks, of the same owner.

    Two, because a frozen or restarted Redis, or a step of its clock, makes the leases of healthy
    workers look expired for a moment; they renew them before the second look.

    Args:
        exchange: runs ops on the supervisor's connection.
        lease: seconds.
    """

    def __init__(self, exchange: Exchange, lease: float) -> None:
        self._exchange = exchange
        self._idle = int(lease * 1000)
        self._seen: set[Suspicion] = set()

    def look(self, queues: Collection[str], own: Collection[str], now_ms: int) -> None:
        """Look once at all queues; consumers in ``own`` have a supervisor that renews them."""
        seen: set[Suspicion] = set()
        for queue in queues:
            for stream, in_retries in ((keys.jobs(queue), False), (keys.retries(queue), True)):
                for consumer in self._consumers(stream):
                    if consumer.name in own or consumer.name == PARKED:
                        continue
                    if consumer.pending:
                        seen |= self._look_at(queue, stream, in_retries, consumer.name, now_ms)
                    elif consumer.idle > FORGET_AFTER:
                        self._exchange([upkeep.forget(stream, consumer.name)])
        self._seen = seen

    def _consumers(self, stream: str) -> list[upkeep.Consumer]:
        (answer,) = self._exchange([upkeep.consumers(stream)])
        if isinstance(answer, StoreError):  # no such stream or group: nothing was ever fetched
            return []
        return answer  # type: ignore[no-any-return]

    def _look_at(
        self, queue: str, stream: str, in_retries: bool, consumer: str, now_ms: int
    ) -> set[Suspicion]:
        seen: set[Suspicion] = set()
        after = "-"
        while True:
            page: list[Held] = self._page(queue, stream, consumer, after)
            taken: list[AnyOp] = []
            for held in page:
                suspicion = (stream, held.entry, consumer, held.count)
                if suspicion in self._seen:
                    crash = f"lost with its host or silent for {held.idle / 1000:.0f} s"
                    taken.append(
                        recover(
                            queue,
                            consumer,
                            held,
                            in_retries=in_retries,
                            crash=crash,
                            now_ms=now_ms,
                            certain=False,
                        )
                    )
                else:
                    seen.add(suspicion)
            if taken:
                log.warning("took over jobs=%d queue=%s worker=%s", len(taken), queue, consumer)
                self._exchange(taken)
            if len(page) < PAGE:
                return seen
            after = f"({page[-1].entry.decode()}"

    def _page(self, queue: str, stream: str, consumer: str, after: str) -> list[Held]:
        op = fetch.mine(queue, stream, consumer, after=after, count=PAGE, idle=self._idle)
        (answer,) = self._exchange([op])
        if isinstance(answer, StoreError):
            raise answer
        return answer  # type: ignore[no-any-return]
