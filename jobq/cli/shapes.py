r"""What `--json` writes: the objects of each command, out of values that JSON has not.

====================================  ====================================================
value                                 in JSON
====================================  ====================================================
tuple, set, frozenset                 array (a set in the order of its texts)
datetime, date, time                  ISO 8601 text
timedelta                             seconds, a number
UUID, Decimal, Path                   text
bytes                                 text, what is not printable ASCII as ``\xNN``
nan, infinities                       the texts ``NaN``, ``Infinity``, ``-Infinity``
int beyond 64 bits                    decimal text, of some 3,700 digits on ``0x…``
dict with other keys than text        their texts as keys
anything else                         its repr
====================================  ====================================================
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from types import UnionType
from typing import Final
from uuid import UUID

from jobq.client.rows import (
    CallRow,
    JobRow,
    LetterRow,
    PastAttempt,
    Pause,
    QueueRow,
)
from jobq.client.worker_rows import WorkerRow

Object = dict[str, object]

#: Numbers that any reader of JSON can be trusted to carry as integers.
_INT64: Final = range(-(1 << 63), 1 << 64)
#: Some 3,700 digits; from 4,300 on Python refuses to write them (sys.set_int_max_str_digits).
_DECIMAL_BITS: Final = 12_288


def dump(value: object) -> str:
    """Write a shape as JSON, on one line and in ASCII: no terminal obeys what is in it."""
    return json.dumps(value, allow_nan=False, ensure_ascii=True)


def plain(value: object) -> object:
    """Return a value as JSON can have it; the table of this module says how."""
    if value is None or isinstance(value, bool | str):
        return value
    for kinds, write in _WRITERS:
        if isinstance(value, kinds):
            return write(value)
    return represent(value)


def key_text(key: object) -> str:
    """Return the key of a dict as text."""
    found = plain(key)
    return found if isinstance(found, str) else dump(found)


def raw(data: bytes) -> str:
    r"""Return bytes as text: printable ASCII as it is, the rest as ``\xNN``."""
    return repr(data)[2:-1]


def represent(value: object) -> str:
    """Return the repr of a value, whatever that does."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  a user's __repr__, or an int of too many digits
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"


def instant(moment: datetime | None) -> str | None:
    """Return a moment as ``2026-11-24T08:09:10.123Z``; null for none."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def letter(row: LetterRow) -> Object:
    """Return the object of a dead letter."""
    return {
        "id": row.id,
        **_call(row.call),
        "queue": row.queue,
        "attempts": row.attempts,
        "error": row.failure.error,
        "message": row.failure.message,
        "reason": row.reason,
        "failed_at": instant(row.failed_at),
        "enqueued_at": instant(row.enqueued_at),
        "traceback": row.failure.traceback,
        "history": [_attempt(one) for one in row.history],
        "readable": row.readable,
        "group": row.group or None,
    }


def job(row: JobRow) -> Object:
    """Return the object of a job."""
    result, dead = row.result, row.letter
    error = dead.failure if dead else result
    failed = bool(error and error.error)
    return {
        "id": row.id,
        "queue": row.queue,
        "state": str(row.state),
        **_call(row.call or CallRow("", None, None)),
        "attempt": row.attempt,
        "worker": row.worker,
        "enqueued_at": instant(row.enqueued_at),
        "due_at": instant(row.due_at),
        "paused": pause(row.pause) if row.pause else None,
        "failed_at": instant(dead.failed_at) if dead else None,
        "result": plain(result.value) if result else None,
        "result_problem": (result.problem or None) if result else None,
        "reason": dead.reason if dead else None,
        "error": error.error if error and failed else None,
        "message": error.message if error and failed else None,
        "traceback": error.traceback if error and failed else None,
        "history": [_attempt(one) for one in row.history],
    }


def queue(row: QueueRow) -> Object:
    """Return the object of a queue."""
    return {
        "name": row.name,
        "ready": row.ready,
        "delayed": row.delayed,
        "running": row.running,
        "retrying": row.retrying,
        "unknown": row.unknown,
        "dead": row.dead,
        "oldest_seconds": row.oldest,
        "backlog_seconds": _backlog(row.rates.backlog),
        "enqueued_per_second": row.rates.enqueued,
        "processed_per_second": row.rates.processed,
        "totals": dict(row.totals),
        "put_back": row.put_back,
        "paused": [pause(one) for one in row.pauses],
    }


def _backlog(seconds: float | None) -> float | None:
    """Return a backlog: null if nothing is being done about it."""
    return None if seconds is None or math.isinf(seconds) else seconds


def pause(row: Pause) -> Object:
    """Return the object of a pause."""
    return {
        "job": row.job,
        "since": instant(row.since),
        "until": instant(row.until),
        "by": row.by,
        "reason": row.reason,
    }


def worker(row: WorkerRow) -> Object:
    """Return the object of a worker."""
    return {
        "name": row.name,
        "host": row.host,
        "pid": row.pid,
        "state": row.state,
        "app": row.app,
        "version": row.version,
        "queues": list(row.queues),
        "weights": dict(row.capacity.weights),
        "processes": row.capacity.processes,
        "threads": row.capacity.threads,
        "concurrency": row.capacity.concurrency,
        "running": row.running,
        "jobs": list(row.jobs),
        "started_at": instant(row.started_at),
        "seen_at": instant(row.seen_at),
    }


def _call(row: CallRow) -> Object:
    return {
        "job": row.name or None,
        "args": None if row.args is None else [plain(one) for one in row.args],
        "kwargs": None if row.kwargs is None else _kwargs(row.kwargs),
        "problem": row.problem or None,
        "raw": raw(row.raw) if row.problem else None,
        "signed_by": row.signed_by or None,
        "headers": dict(row.headers),
    }


def _kwargs(kwargs: Mapping[str, object]) -> Object:
    return {name: plain(one) for name, one in kwargs.items()}


def _attempt(row: PastAttempt) -> Object:
    return {
        "attempt": row.attempt,
        "at": instant(row.at),
        "kind": row.kind,
        "error": row.error,
        "message": row.message,
        "traceback": row.traceback,
    }


def _list(value: Iterable[object]) -> object:
    return [plain(one) for one in value]


def _set(value: Iterable[object]) -> object:
    return sorted((plain(one) for one in value), key=str)


def _dict(value: Mapping[object, object]) -> object:
    return {key_text(key): plain(one) for key, one in value.items()}


def _real(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _int(value: int) -> object:
    if value in _INT64:
        return int(value)
    return str(value) if value.bit_length() < _DECIMAL_BITS else hex(value)


#: In this order: a datetime is a date too.
_WRITERS: Final[Sequence[tuple[type | UnionType, Callable[..., object]]]] = (
    (int, _int),
    (float, _real),
    (list | tuple, _list),
    (set | frozenset, _set),
    (dict, _dict),
    (timedelta, timedelta.total_seconds),
    (datetime, datetime.isoformat),
    (date, date.isoformat),
    (time, time.isoformat),
    (UUID | Decimal | PurePath, str),
    (bytes, raw),
)
