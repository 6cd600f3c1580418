"""The history of a job: its failed attempts and its crashes, as they are kept beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import msgpack

from jobq.errors import CallUnreadable

Kind = Literal["failed", "crashed", "retry", "timeout", "dead"]

#: Older attempts are dropped: a history is kept in Redis for every job that is retried.
MAX_ATTEMPTS: Final = 20
#: Characters. A traceback longer than that repeats itself; its end says what happened.
MAX_TRACEBACK_CHARS: Final = 8000
MAX_MESSAGE_CHARS: Final = 2000
MAX_ERROR_CHARS: Final = 200

_FORMAT: Final = 1
_KINDS: Final[Mapping[str, Kind]] = {kind: kind for kind in get_args(Kind)}
#: The most bytes of a history: that many attempts at 4 bytes a character.
MAX_HISTORY_BYTES: Final = (
    4 * MAX_ATTEMPTS * (MAX_TRACEBACK_CHARS + MAX_MESSAGE_CHARS + MAX_ERROR_CHARS + 50)
)


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt that did not succeed.

    Attributes:
        attempt: its number, from 1.
        at_ms: when it ended, milliseconds since 1970.
        kind: how it ended.
        error: the qualified name of the exception; empty if there was none.
        message: what it said.
        traceback: where it was raised.
    """

    attempt: int
    at_ms: int
    kind: Kind
    error: str = ""
    message: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a job so far.

    Attributes:
        crashes: attempts whose process died.
        unknown_since_ms: since when no worker knows its name, milliseconds since 1970.
        attempts: the last 20 attempts that failed, oldest first.
        snoozes: how often it was snoozed.
        first_failed_ms: when the first attempt failed since it was enqueued, retried by hand or
            snoozed; milliseconds since 1970. What ``retry_for`` counts from.
        snoozed_ms: when it was snoozed, if no attempt has failed since.
        retries: how many attempts may follow the first one, as of the last one that failed.
    """

    crashes: int = 0
    unknown_since_ms: int | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    snoozes: int = 0
    first_failed_ms: int | None = None
    snoozed_ms: int | None = None
    retries: int | None = None

    def add(self, record: AttemptRecord, retries: int | None = None) -> "History":
        """Return the history with one more attempt; a crash is counted too.

        Texts that are too long are cut: tracebacks at the front, the others at the end.

        Args:
            retries: how many attempts may follow the first one.
        """
        cut = replace(
            record,
            error=clean(record.error[:MAX_ERROR_CHARS]),
            message=clean(record.message[:MAX_MESSAGE_CHARS]),
            traceback=clean(record.traceback[-MAX_TRACEBACK_CHARS:]),
        )
        return replace(
            self,
            crashes=self.crashes + (record.kind == "crashed"),
            attempts=(*self.attempts, cut)[-MAX_ATTEMPTS:],
            first_failed_ms=cut.at_ms if self.first_failed_ms is None else self.first_failed_ms,
            snoozed_ms=None,
            retries=retries,
        )

    def snoozed(self, at_ms: int) -> "History":
        """Return the history with one more snooze: it went as it should, so no attempt has failed.

        Args:
            at_ms: milliseconds since 1970.
        """
        return replace(self, snoozes=self.snoozes + 1, first_failed_ms=None, snoozed_ms=at_ms)

    def afresh(self) -> "History":
        """Return the history of a job that starts afresh: what came before limits it no more."""
        return replace(self, first_failed_ms=None, snoozed_ms=None)

    def started_since(self, ms: int) -> bool:
        """Tell whether an attempt was started since a moment, as far as is known here.

        Args:
            ms: milliseconds since 1970.
        """
        return (self.snoozed_ms or 0) >= ms or any(one.at_ms >= ms for one in self.attempts)

    def unknown_since(self, at_ms: int | None) -> "History":
        """Return the history with the moment since which no worker knows the job's name.

        Args:
            at_ms: milliseconds since 1970; None: a worker knows it.
        """
        return replace(self, unknown_since_ms=at_ms)

    def encode(self) -> bytes:
        """Return the history as bytes."""
        attempts = [
            [one.attempt, one.at_ms, one.kind, one.error, one.message, one.traceback]
            for one in self.attempts
        ]
        row = [
            _FORMAT,
            self.crashes,
            self.unknown_since_ms,
            attempts,
            self.snoozes,
            self.first_failed_ms,
            self.snoozed_ms,
            self.retries,
        ]
        return bytes(msgpack.packb(row))

    @staticmethod
    def decode(blob: bytes) -> "History":
        """Read what `encode` wrote; no bytes are the empty history.

        Raises:
            CallUnreadable: the bytes are not a history.
        """
        if not blob:
            return History()
        if len(blob) > MAX_HISTORY_BYTES:
            raise CallUnreadable(f"a history of {len(blob)} bytes")
        try:
            data: object = msgpack.unpackb(blob, ext_hook=_refuse)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  whatever msgpack makes of garbage
            raise CallUnreadable(f"not a history: {error}") from None
        match data:
            case [int(form), int(crashes), None | int() as unknown, list(attempts), *rest] if (
                form == _FORMAT and crashes >= 0
            ):
                return _with_rest(History(crashes, unknown, tuple(map(_record, attempts))), rest)
        raise CallUnreadable("not a history")


def _with_rest(history: History, rest: Sequence[object]) -> History:
    match rest:
        case []:
            return history
        case [
            int(snoozes),
            None | int() as failed,
            None | int() as snoozed,
            None | int() as retries,
            *_,  # what a newer release has to say
        ] if snoozes >= 0:
            return replace(
                history,
                snoozes=snoozes,
                first_failed_ms=failed,
                snoozed_ms=snoozed,
                retries=retries,
            )
    raise CallUnreadable("not a history")


def _record(data: Sequence[object]) -> AttemptRecord:
    match data:
        case [int(attempt), int(at_ms), str(word), str(error), str(message), str(traceback)]:
            kind = _KINDS.get(word)
            if kind is not None:
                return AttemptRecord(attempt, at_ms, kind, error, message, traceback)
    raise CallUnreadable("not an attempt of a history")


def _refuse(code: int, _data: bytes) -> object:
    raise CallUnreadable(f"extension type {code} in a history")


def clean(text: str) -> str:
    """Make text encodable: lone surrogates, from odd file names, become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
