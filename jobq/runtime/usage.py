"""Which lines of their queues workers look into: those that have ever had a job."""

from collections.abc import Callable, Collection, Mapping, Sequence

from jobq.errors import StoreError
from jobq.runtime.children import Child
from jobq.store.ops import upkeep
from jobq.store.wire import Answers, AnyOp


class Usage:
    """What a supervisor knows of the lines of its queues, and tells its workers.

    So a queue that uses only one line costs its workers nothing for the others, and the first job
    of another line is found in the next round.

    Args:
        exchange: runs ops on the supervisor's connection.
    """

    def __init__(self, exchange: Callable[[Sequence[AnyOp]], Answers]) -> None:
        self._exchange = exchange
        #: By queue, the lines in use that have a group.
        self._grouped: dict[str, int] = {}

    def tell(self, used: Mapping[str, int], children: Collection[Child]) -> bool:
        """Write to the boards which lines are in use.

        Args:
            used: by queue, as of the last round; see `jobq.runtime.board.Board`.

        Returns:
            Whether a line is new to a worker, so that it must look again.
        """
        for queue, lines in used.items():
            if lines & ~self._grouped.get(queue, 0):
                (answer,) = self._exchange([upkeep.regroup(queue)])
                if isinstance(answer, StoreError):  # the next round tries again
                    continue
            self._grouped[queue] = lines
        return sum(self._tell(child) for child in children) > 0

    def _tell(self, child: Child) -> bool:
        is_new = False
        for number, queue in enumerate(child.hello.queues if child.hello else ()):
            before, lines = child.board.lines[number], self._grouped.get(queue, 0)
            if queue in self._grouped and lines != before:
                child.board.lines[number] = lines
                is_new = is_new or bool(lines & ~before)
        return is_new
