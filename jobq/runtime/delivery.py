"""An entry in the hands of a worker: before it is read, and as a call that can be made."""

from collections.abc import Callable, Sequence
from functools import partial

from jobq.core.current import RunningJob, moment
from jobq.core.history import History
from jobq.core.lines import queue_of
from jobq.core.options import Policy
from jobq.core.registry import Definition
from jobq.errors import CallUnreadable
from jobq.runtime.describe import enqueued_ms, text
from jobq.store.ops import fetch

#: An entry that this worker holds, not yet read: its line (in ``retries`` its queue), itself, its
#: fields, its delivery count (0 in a line), its history in ``retries``, its place on the board. A
#: bare tuple: one is made for each job.
Item = tuple[str, bytes, list[bytes] | None, int, bytes | None, int]


class Delivery:
    """An entry handed to this worker: a call that can be made, the attempt, and the fence.

    Attributes:
        still_mine: whether this worker still holds the lease; set when the job starts.
    """

    __slots__ = ("args", "definition", "fields", "item", "kwargs", "policy", "still_mine")

    item: Item
    fields: list[bytes]
    definition: Definition
    policy: Policy
    args: list[object]
    kwargs: dict[str, object]
    still_mine: Callable[[Item], bool]

    def __init__(self, item: Item) -> None:
        self.item = item

    def __str__(self) -> str:
        return f"job={text(self.job_id)} name={self.definition.name} attempt={self.attempt}"

    @property
    def line(self) -> str:
        """The line of its queue that it came from; of what was in ``retries`` the queue."""
        return self.item[0]

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return queue_of(self.item[0])

    @property
    def entry(self) -> bytes:
        """Its entry."""
        return self.item[1]

    @property
    def job_id(self) -> bytes:
        """The id of the job."""
        return self.fields[0]

    @property
    def call(self) -> bytes:
        """The encoded call."""
        return self.fields[1]

    @property
    def count(self) -> int:
        """Its delivery count in ``retries``; 0 in ``jobs``."""
        return self.item[3]

    @property
    def place(self) -> int:
        """Where it stands on the board."""
        return self.item[5]

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.item[3] or 1

    @property
    def enqueued_ms(self) -> int:
        """When the job was enqueued: milliseconds since 1970, by the entry that it had then."""
        return enqueued_ms(self._more().get(b"first", self.item[1]), self.item[1])

    @property
    def ready_ms(self) -> int:
        """When it could first be started: when it became due if it was delayed, else enqueued."""
        more = self._more()
        return enqueued_ms(more.get(b"ready") or more.get(b"first", self.item[1]), self.item[1])

    @property
    def history(self) -> bytes | None:
        """The encoded attempts so far."""
        return self.item[4] or self._more().get(b"history")

    @property
    def more(self) -> tuple[bytes, ...]:
        """What stays with it wherever it goes. See `jobq.store.ops.settle.Attempt`."""
        return what_stays(self.fields)

    @property
    def running_job(self) -> RunningJob:
        """What user code may know of it."""
        return RunningJob(
            self.job_id.decode(),
            self.definition.name,
            self.queue,
            self.attempt,
            moment(self.enqueued_ms),
            partial(self.still_mine, self.item),
        )

    @property
    def kind(self) -> str:
        """Which workers may take it when it is to be retried, or given back."""
        usual = fetch.ASYNC if self.definition.is_async else fetch.SYNC
        return kind_after(self.history, usual)

    def _more(self) -> dict[bytes, bytes]:
        fields = self.fields
        return {fields[i]: fields[i + 1] for i in range(2, len(fields), 2)}


def what_stays(fields: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return what stands in an entry beside its call and its history: names and values in turn."""
    if len(fields) == 2:
        return ()
    ends = range(2, len(fields) - 1, 2)
    return tuple(one for at in ends if fields[at] != b"history" for one in fields[at : at + 2])


def kind_after(history: bytes | None, usual: str) -> str:
    """Return which workers may take a job: it runs alone from its first crash on.

    Args:
        history: the encoded attempts so far; somebody may have written over it.
        usual: who may take it when it has no crash to its name.
    """
    try:
        return fetch.SUSPECT if history and History.decode(history).crashes else usual
    except CallUnreadable:
        return usual
