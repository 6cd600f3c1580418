"""What the desk shows: queues, jobs, dead letters and workers as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from jobq.core.carried import carried
from jobq.core.codec import Codec
from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.letter import KEPT_OF_GARBAGE, Letter
from jobq.core.marks import HEADER, Marked
from jobq.core.outcome import Failure
from jobq.core.pauses import PauseRecord
from jobq.core.rates import IDLE, Rates
from jobq.core.redact import Redactor, secrets_in, stub
from jobq.core.result import StoredResult, decode
from jobq.core.signing import inner, signed_by
from jobq.errors import CallUnreadable, ResultUnreadable
from jobq.store.ops.inspect import DeadEntry, Seen

#: The last second that a datetime can have, in ms since 1970: whatever a stream says, it is shown.
_LAST_MS: Final = 253_402_300_799_000
#: Characters of a fingerprint that are shown: a stranger may have put anything there.
_MAX_GROUP: Final = 40


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as far as it can be read here.

    Attributes:
        name: of the job function; empty when it cannot be told.
        args: positional arguments; None: they cannot be read.
        kwargs: keyword arguments; None: they cannot be read.
        problem: why they cannot be read; empty: they can.
        raw: the first bytes of a call that cannot be read.
        signed_by: the id of the key that it says it is signed by; nothing here checks that.
        headers: what travels beside the arguments, see `jobq.core.carried`.
    """

    name: str
    args: tuple[object, ...] | None
    kwargs: Mapping[str, object] | None
    problem: str = ""
    raw: bytes = b""
    signed_by: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt that did not succeed; see `jobq.core.history.AttemptRecord`."""

    attempt: int
    at: datetime
    kind: str
    error: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter.

    Attributes:
        id: the id of the job.
        queue: where it was.
        call: what it was to do.
        reason: why it is dead, in a few words.
        failure: the exception of the last attempt.
        attempts: how often it was started.
        enqueued_at: when it was enqueued; None: the letter does not tell.
        failed_at: when it was buried.
        history: the attempts that are still known, oldest first.
        readable: it can be retried.
        group: the fingerprint of those that died of the same; empty: it has none.
    """

    id: str
    queue: str
    call: CallRow
    reason: str
    failure: Failure
    attempts: int
    enqueued_at: datetime | None
    failed_at: datetime
    history: tuple[PastAttempt, ...]
    readable: bool
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause of a queue, or of one job function in it.

    Attributes:
        job: the name of the job function; None: the whole queue.
        since: since when.
        until: when it ends by itself; None: it does not.
        by: by whom.
        reason: why; can be empty.
    """

    job: str | None
    since: datetime
    until: datetime | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job.

    Attributes:
        id: its id.
        queue: where it is, or was.
        state: where it is.
        call: what it does; None: it has finished, and only its result is kept.
        attempt: the attempt that runs, or the last one that ran; 0 before the first.
        worker: the one that runs it.
        enqueued_at: when it was enqueued; None: no longer known.
        due_at: when it will be retried, or is to start if it is delayed.
        history: its attempts that failed, oldest first.
        result: how it ended, where that is kept.
        letter: its dead letter.
        pause: what keeps it from starting, while it waits; None: nothing is paused.
    """

    id: str
    queue: str
    state: JobState
    call: CallRow | None
    attempt: int
    worker: str | None
    enqueued_at: datetime | None
    due_at: datetime | None
    history: tuple[PastAttempt, ...]
    result: StoredResult | None
    letter: LetterRow | None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True)
class QueueRow:
    """The jobs of a queue by state.

    Attributes:
        name: the queue.
        ready: waiting for their first attempt.
        running: in an attempt.
        retrying: waiting for a later attempt.
        unknown: of these, how many wait for a worker that knows their name.
        dead: dead letters.
        oldest: seconds since the one that is ready for longest was added; None: none is ready.
        totals: since the queue exists: succeeded, retried, dead, cancelled, expired.
        put_back: how often, in this time, a job was put back because its worker does not know it.
        delayed: waiting until their time has come.
        pauses: what of it is paused.
        rates: how fast it goes, and how long what is ready will take.
    """

    name: str
    ready: int
    running: int
    retrying: int
    unknown: int
    dead: int
    oldest: float | None
    totals: Mapping[str, int]
    put_back: int = 0
    delayed: int = 0
    pauses: tuple[Pause, ...] = ()
    rates: Rates = IDLE


def moment(ms: int) -> datetime:
    """Return a moment in UTC.

    Args:
        ms: milliseconds since 1970; what no datetime can have becomes the nearest one.
    """
    return datetime.fromtimestamp(min(max(ms, 0), _LAST_MS) / 1000, UTC)


def pause_row(record: PauseRecord) -> Pause:
    """Read a pause."""
    return Pause(
        job=record.job,
        since=moment(record.since_ms),
        until=None if record.until_ms is None else moment(record.until_ms),
        by=record.by,
        reason=record.reason,
    )


def call_row(blob: bytes, codec: Codec) -> CallRow:
    """Read a call as far as it may be shown, or say why it cannot be read."""
    call, key_id = inner(blob), signed_by(blob)
    try:
        name, args, kwargs, headers = codec.decode_call(call)
    except CallUnreadable as error:
        name = codec.peek_name(call) or ""
        problem = Redactor(secrets_in(call)).text(str(error))
        return CallRow(name, None, None, problem, stub(call)[:KEPT_OF_GARBAGE], key_id)
    shown_args: tuple[object, ...] = tuple(args)
    if HEADER in headers:
        shown_args, kwargs = Marked(headers[HEADER]).shown(args, kwargs)
    return CallRow(name, shown_args, kwargs, signed_by=key_id, headers=carried(headers))


def letter_of(blob: bytes) -> Letter | None:
    """Read what a dead letter says beside the call; None when that is garbage."""
    try:
        return Letter.decode(blob)
    except CallUnreadable:
        return None


def letter_row(queue: str, entry: DeadEntry, codec: Codec) -> LetterRow:
    """Read a dead letter."""
    call = call_row(entry.call, codec)
    said = letter_of(entry.letter)
    if said is None:
        said = Letter("", Failure("", "the dead letter cannot be read", ""), 0, 0, History())
        said = replace(said, readable=not call.problem)
    return LetterRow(
        entry.job_id,
        queue,
        call,
        said.reason,
        said.failure,
        said.attempts,
        moment(said.enqueued_ms) if said.enqueued_ms else None,
        moment(entry.failed_ms),
        past(said.history),
        said.readable,
        entry.group[:_MAX_GROUP],
    )


def job_row(job_id: str, queue: str, seen: Seen, codec: Codec) -> JobRow | None:
    """Read a job; None when there is none."""
    if seen.state is None:
        return None
    letter = None
    if seen.dead is not None:
        letter = letter_row(queue, seen.dead, codec)
    enqueued = None if seen.enqueued_ms is None else moment(seen.enqueued_ms)
    result = None if seen.result is None else _result(seen, codec)
    attempts = seen.attempt or (result.attempts if result else 0)
    return JobRow(
        id=job_id,
        queue=queue,
        state=seen.state,
        call=None if seen.call is None else call_row(seen.call, codec),
        attempt=letter.attempts if letter else attempts,
        worker=seen.worker,
        enqueued_at=letter.enqueued_at if letter else enqueued,
        due_at=None if seen.due_ms is None else moment(seen.due_ms),
        history=letter.history if letter else past(history_of(seen.history)),
        result=result,
        letter=letter,
    )


def past(history: History) -> tuple[PastAttempt, ...]:
    """Return the attempts of a history."""
    return tuple(
        PastAttempt(one.attempt, moment(one.at_ms), one.kind, one.error, one.message, one.traceback)
        for one in history.attempts
    )


def history_of(blob: bytes | None) -> History:
    """Read the attempts of a job so far; where that is garbage, there were none."""
    try:
        return History.decode(blob or b"")
    except CallUnreadable:
        return History()


def _result(seen: Seen, codec: Codec) -> StoredResult | None:
    try:
        return decode(seen.result or b"", codec)
    except ResultUnreadable as error:
        return None if seen.state is None else StoredResult(seen.state, problem=str(error))
