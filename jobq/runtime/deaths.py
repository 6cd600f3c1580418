"""Dead workers: what they held is given to others at once, each job by its own fate."""

import logging
from collections.abc import Callable, Collection
from typing import Final

from jobq.core.lines import lines_of, queue_of
from jobq.errors import StoreError, StoreUnavailable
from jobq.runtime.children import Child, Key
from jobq.runtime.recovery import PAGE, Crashed, Fate, Released, Terms, recover
from jobq.store import keys
from jobq.store.ops import fetch, upkeep
from jobq.store.ops.fetch import Held
from jobq.store.wire import Answers, AnyOp

log = logging.getLogger("jobq.supervisor")

_RELEASED: Final = Released()


class Deaths:
    """The dead workers of a supervisor, until all that they held is with others.

    Args:
        exchange: runs ops on the supervisor's connection.
        now_ms: tells Redis time.
    """

    def __init__(
        self, exchange: Callable[[list[AnyOp]], Answers], now_ms: Callable[[], float]
    ) -> None:
        self._exchange = exchange
        self._now_ms = now_ms
        self._dead: list[tuple[Child, dict[Key, Fate]]] = []

    @property
    def consumers(self) -> set[str]:
        """How Redis knows those whose jobs are not all with others yet."""
        return {child.consumer for child, _ in self._dead}

    def add(self, child: Child, fates: dict[Key, Fate]) -> None:
        """Remember a worker that has ended, and the jobs that are not just to be released."""
        self._dead.append((child, fates))

    def recover(self, queues: Collection[str], terms: Terms) -> None:
        """Give what the dead held to others.

        Args:
            queues: those that may have been read.

        Raises:
            StoreError: Redis is away or refuses; the next call goes on.
        """
        refusal: StoreError | None = None
        for one in list(self._dead):
            try:
                self._recover_one(*one, queues, terms)
            except StoreUnavailable:
                raise
            except StoreError as error:  # of one queue, say: those of others go on
                refusal = error
            else:
                self._dead.remove(one)
        if refusal is not None:
            raise refusal

    def _recover_one(
        self, child: Child, fates: dict[Key, Fate], queues: Collection[str], terms: Terms
    ) -> None:
        charged = released = 0
        for queue in dict.fromkeys((*queues, *(child.hello.queues if child.hello else ()))):
            for line, in_retries in (*((one, False) for one in lines_of(queue)), (queue, True)):
                for fate in self._recover(child, line, in_retries, fates, terms):
                    charged += isinstance(fate, Crashed)
                    released += isinstance(fate, Released)
        if charged or released:
            log.warning(
                "recovered jobs worker=%s charged=%d released=%d",
                child.consumer,
                charged,
                released,
            )

    def _recover(
        self, child: Child, line: str, in_retries: bool, fates: dict[Key, Fate], terms: Terms
    ) -> list[Fate]:
        stream = keys.retries(line) if in_retries else keys.jobs(line)
        met: list[Fate] = []
        before: list[Held] = []
        while True:
            (page,) = self._exchange([fetch.mine(line, stream, child.consumer, count=PAGE)])
            if isinstance(page, StoreError):
                if _is_unused(line, page):
                    return met
                raise page  # Redis is loading, say: what the worker held will still be there
            if not page:
                self._exchange([upkeep.forget(stream, child.consumer)])
                return met
            if [held.entry for held in page] == [held.entry for held in before]:
                said = (len(page), queue_of(line), child.consumer)
                log.error("left jobs jobs=%d queue=%s worker=%s", *said)
                return met  # nothing of ours leaves a job where it was; its lease runs out
            before = page
            ops: list[AnyOp] = []
            held: Held
            for held in page:
                key = Key(line, in_retries, held.entry.decode("ascii", "replace"))
                fate = fates.get(key, _RELEASED)
                met.append(fate)
                ops.append(
                    recover(
                        held,
                        fate,
                        line=line,
                        consumer=child.consumer,
                        in_retries=in_retries,
                        terms=terms,
                        now_ms=int(self._now_ms()),
                    )
                )
            for answer in self._exchange(ops):
                if isinstance(answer, StoreError):
                    raise answer


def _is_unused(line: str, error: StoreError) -> bool:
    """Tell whether nothing was ever taken from a line; a stranger may have made its key."""
    return error.code == "NOGROUP" or (error.code == "WRONGTYPE" and line != queue_of(line))
