"""Steps of a part of the round: each an op and what is done with its answer, in a later round."""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from jobq.errors import StoreError
from jobq.store.wire import Answer, Answers, AnyOp, Op, text

log = logging.getLogger("jobq.supervisor")

#: Steps in one round: of some microseconds of Redis each.
MOST: Final = 200

T = TypeVar("T")


def nothing() -> None:
    """Do nothing about a step that was refused."""


class Steps:
    """What waits to be asked, and what was asked in this round.

    Redis may refuse each of them: that is logged once for each kind and error, the step is dropped,
    and whoever added it decides whether to add it again.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[AnyOp, Callable[[Answer], None], Callable[[], None]]] = deque()
        self._asked: list[tuple[AnyOp, Callable[[Answer], None], Callable[[], None]]] = []
        self._told: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, op: Op[T], read: Callable[[T], None], refused: Callable[[], None] = nothing
    ) -> None:
        """Add a step.

        Args:
            read: takes the answer of the op; may add steps.
            refused: called instead, if Redis refuses.
        """
        self._waiting.append((op, read, refused))

    def take(self) -> list[AnyOp]:
        """Return the ops of this round."""
        # What was asked before and never answered: Redis was away, and it may not have been done.
        self._waiting.extendleft(reversed(self._asked))
        self._asked = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        return [op for op, _, _ in self._asked]

    def read(self, answers: Answers) -> None:
        """Take the answers to what `take` returned."""
        asked, self._asked = self._asked, []
        failed: Exception | None = None
        for (op, read, refused), answer in zip(asked, answers, strict=True):
            try:
                if isinstance(answer, StoreError):
                    self._tell(op, answer)
                    refused()
                else:
                    read(answer)
            except Exception as error:  # noqa: BLE001  the others must hear their answers
                failed = error
        if failed is not None:
            raise failed

    def _tell(self, op: AnyOp, error: StoreError) -> None:
        what = op.script.name if op.script else text(op.words[0])
        said = f"{what}: {error}"
        if said not in self._told:
            if len(self._told) > MOST:
                self._told.clear()
            self._told.add(said)
            log.warning("refused by redis what=%s error=%s", what, error)
