"""An entry in the hands of a worker: before it is read, and as a call that can be made."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from jobq.core.carried import carried
from jobq.core.current import RunningJob, moment
from jobq.core.head import read_head
from jobq.core.history import History
from jobq.core.lines import queue_of
from jobq.core.options import Policy
from jobq.core.redact import Redactor, secrets_in
from jobq.core.registry import Definition
from jobq.core.reports import KEPT_MS, LEAST_MS
from jobq.core.signing import inner
from jobq.core.tally import NO_SPAN, Span
from jobq.errors import CallUnreadable, JobqError
from jobq.runtime.describe import enqueued_ms, text
from jobq.runtime.inside import ENDED, Inside, Report
from jobq.runtime.item import Item
from jobq.store.ops import fetch

#: A first attempt that succeeded: a `jobq.store.ops.settle.Done`, then its job function, since when
#: it could be started (Redis time in ms, perhaps as the id of an entry), and when it ran.
Finished = tuple[bytes, bytes, int, bytes, int, str, bytes, Span]

#: In calls with the header of `jobq.core.marks` these bytes stand somewhere.
_MARKED: Final = b"\xa1s"


class Delivery:
    """An entry handed to this worker: a call that can be made, the attempt, and the fence.

    Attributes:
        inside: what the job may ask and tell; set when the job starts. It is the worker's until
            the job reports something, then its own.
        span: when it ran; set when it has ended.
    """

    __slots__ = ("args", "definition", "fields", "inside", "item", "kwargs", "policy", "span")

    item: Item
    fields: list[bytes]
    definition: Definition
    policy: Policy
    args: list[object]
    kwargs: dict[str, object]
    inside: Inside | Report
    span: Span

    def __init__(self, item: Item) -> None:
        self.item = item
        self.span = NO_SPAN

    @property
    def named(self) -> tuple[str, str, int]:
        """Its job, job function and attempt, for logs."""
        return text(self.job_id), self.definition.name, self.attempt

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
            partial(self.inside.still_mine, self.item),
            self.report,
            partial(headers_of, self.fields[1]),
        )

    def redact(self, text: str) -> str:
        """Return a text without the sensitive arguments of the call."""
        redactor = redactor_of(self)
        return text if redactor is None else redactor.text(text)

    def report(self) -> Report:
        """Return what this attempt reports, from now on of its own.

        Raises:
            JobqError: it has ended without a report; what it has started goes on.
        """
        if self.span is not NO_SPAN and not isinstance(self.inside, Report):
            raise JobqError(ENDED)
        found = self.inside = self.inside.of(self.item, self.job_id, self.redact)
        return found

    def close(self, *, succeeded: bool) -> None:
        """Wait until Redis has what it has reported: that comes before its outcome."""
        inside = getattr(self, "inside", None)  # there is none if it was not started
        if isinstance(inside, Report):
            inside.close(self._kept_ms(succeeded=succeeded))

    async def aclose(self, *, succeeded: bool) -> None:
        """See `close`."""
        if isinstance(self.inside, Report):
            await self.inside.aclose(self._kept_ms(succeeded=succeeded))

    def _kept_ms(self, *, succeeded: bool) -> int:
        return max(LEAST_MS, int(self.policy.result_ttl * 1000)) if succeeded else KEPT_MS

    @property
    def kind(self) -> str:
        """Which workers may take it when it is to be retried, or given back."""
        usual = fetch.ASYNC if self.definition.is_async else fetch.SYNC
        return kind_after(self.history, usual)

    def _more(self) -> dict[bytes, bytes]:
        fields = self.fields
        return {fields[i]: fields[i + 1] for i in range(2, len(fields), 2)}


def headers_of(call: bytes) -> dict[str, str]:
    """Return what travels with an encoded call beside its arguments. See `jobq.core.carried`."""
    # Out of the bytes again: most jobs have none, and few ask.
    return carried(read_head(call).headers)


def redactor_of(delivery: Delivery) -> Redactor | None:
    """Return what takes sensitive arguments out of texts; None: there are none."""
    marks = delivery.definition.sensitive
    if not marks and _MARKED not in delivery.call:
        return None
    # Out of the bytes again: the function may have changed what it was given.
    return Redactor(secrets_in(inner(delivery.call), marks))


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
