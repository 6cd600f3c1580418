"""What a dead letter says beside the call: why the job died, and what happened before."""

from dataclasses import dataclass
from typing import Final

import msgpack

from jobq.core.history import History
from jobq.core.outcome import Failure
from jobq.errors import CallUnreadable

FORMAT: Final = 1

#: Bytes that are kept of an entry that is not a call: enough to see what it was.
KEPT_OF_GARBAGE: Final = 2048

#: The reason of a job that waited too long, and was not started.
EXPIRED: Final = "expired"

#: The reason of a letter whose call cannot be read, so that it cannot be retried.
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Letter:
    """Why a job is dead.

    Attributes:
        reason: in a few words, such as ``attempts used up``.
        failure: the exception of the last attempt.
        attempts: how often the job was started.
        enqueued_ms: when it was enqueued, milliseconds since 1970 (Redis clock).
        history: every attempt that is still known, the last one too.
        readable: the call can be retried.
    """

    reason: str
    failure: Failure
    attempts: int
    enqueued_ms: int
    history: History
    readable: bool = True

    @property
    def is_expired(self) -> bool:
        """Whether the job waited too long, and was not started."""
        return self.reason == EXPIRED and not self.attempts

    def encode(self) -> bytes:
        """Return the letter as bytes."""
        failure = self.failure
        row = [
            FORMAT,
            self.reason,
            [failure.error, failure.message, failure.traceback],
            self.attempts,
            self.enqueued_ms,
            self.history.encode(),
            self.readable,
        ]
        return bytes(msgpack.packb(row, unicode_errors="backslashreplace"))

    @staticmethod
    def brief(blob: bytes) -> tuple[Failure, int] | None:
        """Read no more than the last failure and the number of attempts; None of garbage."""
        try:
            row: object = msgpack.unpackb(blob)
        except Exception:  # noqa: BLE001  msgpack raises many kinds; none says more
            return None
        match row:
            case [int(), str(), [str(error), str(message), str(traceback)], int(attempts), *_]:
                return Failure(error, message, traceback), attempts
        return None

    @staticmethod
    def decode(blob: bytes) -> "Letter":
        """Read what `encode` wrote.

        Raises:
            CallUnreadable: the bytes are not a letter.
        """
        try:
            row: object = msgpack.unpackb(blob)
        except Exception as wrong:  # noqa: BLE001  msgpack raises many kinds; none says more
            raise CallUnreadable(f"not a dead letter: {wrong}") from None
        match row:
            case [
                int(),
                str(reason),
                [str(error), str(message), str(traceback)],
                int(attempts),
                int(enqueued_ms),
                bytes(history),
                bool(readable),
            ] if row[0] == FORMAT:
                failure = Failure(error, message, traceback)
                return Letter(
                    reason, failure, attempts, enqueued_ms, History.decode(history), readable
                )
        raise CallUnreadable("not a dead letter")
