"""The result of a job as it is kept: how it ended, and the value or the failure.

Wire format: msgpack array ``[1, state, value]``, where the state is ``succeeded``, ``dead``,
``cancelled`` or ``expired``. The value of a success stands there as the codec wrote it; that of a
dead job is ``[error, message, traceback, attempts]``, that of one that expired and was dropped
says how long it waited.
"""

from dataclasses import dataclass
from typing import Final

import msgpack

from jobq.core.codec import Codec
from jobq.core.job import JobState
from jobq.errors import CallUnreadable, ResultUnreadable

FORMAT: Final = 1

_ENDED: Final = frozenset(
    (
        JobState.SUCCEEDED.value,
        JobState.DEAD.value,
        JobState.CANCELLED.value,
        JobState.EXPIRED.value,
        "unreadable",
    )
)

#: The error of a job that was not started because it had waited too long.
EXPIRED_ERROR: Final = "JobExpired"


def _head(state: str) -> bytes:
    return b"\x93" + bytes(msgpack.packb(FORMAT)) + bytes(msgpack.packb(state))


#: What stands before the value of a success: the hot path only joins bytes.
SUCCEEDED_HEAD: Final = _head(JobState.SUCCEEDED.value)
_DEAD_HEAD: Final = _head(JobState.DEAD.value)
_UNREADABLE_HEAD: Final = _head("unreadable")
_EXPIRED_HEAD: Final = _head(JobState.EXPIRED.value)

#: The word for those who wait for a job that was cancelled.
CANCELLED: Final = _head(JobState.CANCELLED.value) + b"\xc0"


@dataclass(frozen=True, slots=True)
class StoredResult:
    """How a job ended.

    Attributes:
        state: succeeded, dead, cancelled or expired.
        value: what the job function returned.
        error: the exception's qualified name, when it is dead.
        message: what it said.
        traceback: where it was raised.
        attempts: how often the job was started.
        problem: why the value of a success could not be stored; empty: it was.

    One that has expired is dead or expired, see `has_expired`.
    """

    state: JobState
    value: object = None
    error: str = ""
    message: str = ""
    traceback: str = ""
    attempts: int = 0
    problem: str = ""

    @property
    def has_expired(self) -> bool:
        """Whether it was never started, because it had waited too long."""
        return self.state is JobState.EXPIRED or is_expiry(self.error, self.attempts)


def is_expiry(error: str, attempts: int) -> bool:
    """Tell whether what a dead job says means that it waited too long and was not started.

    A job that was started can have the same error: that of another one, which it waited for.
    """
    return error == EXPIRED_ERROR and not attempts


def dead(error: str, message: str, traceback: str, attempts: int) -> bytes:
    """Return the result of a job that went to the dead letters."""
    return _DEAD_HEAD + bytes(msgpack.packb([error, message, traceback, attempts]))


def expired(message: str) -> bytes:
    """Return the result of a job that has expired and was dropped."""
    return _EXPIRED_HEAD + bytes(msgpack.packb(message))


def unreadable(problem: str) -> bytes:
    """Return the result of a job that succeeded with a value that cannot travel."""
    return _UNREADABLE_HEAD + bytes(msgpack.packb(problem))


def decode(blob: bytes, codec: Codec) -> StoredResult:
    """Read a result.

    Raises:
        ResultUnreadable: the bytes are not a result, or hold a type that is not registered here.
    """
    state, at = _split(blob)
    try:
        value = codec.decode_value(blob[at:])
    except CallUnreadable as wrong:
        raise ResultUnreadable(f"the result cannot be read: {wrong}") from None
    match state, value:
        case "unreadable", str():
            return StoredResult(JobState.SUCCEEDED, problem=value)
        case JobState.DEAD.value, [str(error), str(message), str(traceback), int(attempts)]:
            return StoredResult(JobState.DEAD, None, error, message, traceback, attempts)
        case JobState.EXPIRED.value, str():
            return StoredResult(JobState.EXPIRED, None, EXPIRED_ERROR, value)
        case JobState.SUCCEEDED.value | JobState.CANCELLED.value, _:
            return StoredResult(JobState(state), value)
    raise ResultUnreadable("the result cannot be read: it is of another kind")


def state_of(blob: bytes) -> JobState | None:
    """Return how a job ended without reading its value; None when that cannot be told."""
    try:
        state, _ = _split(blob)
    except ResultUnreadable:
        return None
    return JobState.SUCCEEDED if state == "unreadable" else JobState(state)


def _split(blob: bytes) -> tuple[str, int]:
    for state in _ENDED:
        head = _head(state)
        if blob.startswith(head):
            return state, len(head)
    raise ResultUnreadable("the result cannot be read: written by another program or release?")
