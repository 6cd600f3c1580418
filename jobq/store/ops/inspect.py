"""Ops that look: one job, the numbers of a queue, dead letters, workers. None writes anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.numbers import ms_of, whole
from jobq.core.result import state_of
from jobq.errors import CallUnreadable
from jobq.store import keys
from jobq.store.keys import GROUP, HELD_MS, KINDS, PARKED
from jobq.store.ops.fetch import UNKNOWN
from jobq.store.wire import Op, Script, as_is, call, pairs, text

_LOOK = Script("look")
_COUNT = Script("count")


@dataclass(frozen=True, slots=True)
class Seen:
    """One job as it is in Redis.

    Attributes:
        state: None: there is no such job.
        call: its call, encoded.
        attempt: the attempt that runs, or the last one that ran; 0 before the first.
        worker: the consumer that runs it.
        due_ms: when it is due, or was: a delayed job, a retry; Redis time in ms.
        enqueued_ms: when it was enqueued, Redis time in ms.
        ready_ms: since when it can be started, Redis time in ms; None: not yet.
        history: its attempts so far, encoded.
        dead: its dead letter.
        result: its result, encoded.
        where: its entry with the letter of the stream, as the index has it; empty: nowhere.
        kind: the letter before it in ``due``, see `jobq.store.ops.fetch`; empty: it is not there.
    """

    state: JobState | None
    call: bytes | None = None
    attempt: int = 0
    worker: str | None = None
    due_ms: int | None = None
    enqueued_ms: int | None = None
    ready_ms: int | None = None
    history: bytes | None = None
    dead: "DeadEntry | None" = None
    result: bytes | None = None
    where: str = ""
    kind: str = ""

    @property
    def letter(self) -> bytes | None:
        """What its dead letter says, encoded."""
        return None if self.dead is None else self.dead.letter

    @property
    def entry(self) -> str:
        """The entry that it is in; empty: it is delayed, or has finished."""
        return self.where[1:]


@dataclass(frozen=True, slots=True)
class Counted:
    """The jobs of a queue by state.

    Attributes:
        now_ms: Redis time.
        ready: waiting for a worker, for their first attempt or a later one that is due.
        running: in an attempt.
        retrying: waiting until their next attempt is due.
        delayed: waiting until their first attempt is due.
        unknown: of those that wait, how many wait for a worker that knows them.
        dead: dead letters.
        oldest_ms: when the one that has been ready for longest was added, Redis time in ms.
        totals: what was counted since the queue exists: succeeded, retried, dead, cancelled,
            expired; those that expired and are dead letters are counted as dead, too.
        put_back: how often, in this time, a job was put back because its worker does not know it.
        held: of those that are ready, how many are held because their job function is paused.
    """

    now_ms: int
    ready: int
    running: int
    retrying: int
    unknown: int
    dead: int
    oldest_ms: int | None
    totals: dict[str, int]
    put_back: int = 0
    delayed: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """A dead letter as Redis has it.

    Attributes:
        entry: its entry.
        job_id: its job.
        call: its call, encoded.
        letter: what it says beside that, encoded.
        group: the fingerprint of those like it; empty: it has none.
        line: the letter of its line; empty: the usual one.
        at: when it failed, ms since 1970, as it stands there; empty: when it came to its entry.
    """

    entry: str
    job_id: str
    call: bytes
    letter: bytes
    group: str = ""
    line: str = ""
    at: bytes = b""

    @property
    def failed_ms(self) -> int:
        """When it failed, Redis time in ms."""
        found = ms_of(self.at) if self.at else None
        return found if found is not None else ms_of(self.entry.partition("-")[0].encode()) or 0


@dataclass(frozen=True, slots=True)
class Presence:
    """A worker in the register: when it was last seen (Redis time, ms), and its record."""

    name: str
    seen_ms: int
    record: bytes


def look(queue: str, job_id: str) -> Op[Seen]:
    """Look at one job."""
    every = (
        keys.index(queue),
        keys.result(queue, job_id),
        keys.jobs(queue),
        keys.retries(queue),
        keys.dead(queue),
        keys.due(queue),
        keys.history(queue),
        keys.delayed(queue),
        *keys.other_jobs(queue),
    )
    return call(_LOOK, every, (GROUP, job_id, KINDS), _seen)


def result(queue: str, job_id: str) -> Op[bytes | None]:
    """Read the result of a job, if it has finished."""
    return Op(("GET", keys.result(queue, job_id)), as_is)


def has_result(queue: str, job_id: str) -> Op[bool]:
    """Ask whether a job has a result: it has ended then."""
    return Op(("EXISTS", keys.result(queue, job_id)), bool)


def count(queue: str) -> Op[Counted]:
    """Count the jobs of a queue by state, in constant time."""
    every = (
        keys.jobs(queue),
        keys.retries(queue),
        keys.dead(queue),
        keys.due(queue),
        keys.index(queue),
        keys.meta(queue),
        keys.delayed(queue),
        *keys.other_jobs(queue),
    )
    return call(_COUNT, every, (GROUP, PARKED, HELD_MS), _counted)


def queues() -> Op[list[str]]:
    """List the names of all queues that were ever used."""
    return Op(("SMEMBERS", keys.QUEUES), lambda reply: sorted(map(text, reply)))


def places(queue: str, job_ids: Sequence[str]) -> Op[list[str]]:
    """Tell in which streams jobs are, as letters of the index; empty: in none, it has ended."""
    return Op(
        ("HMGET", keys.index(queue), *job_ids),
        lambda reply: [text(one)[:1] if one else "" for one in reply],
    )


def letters(queue: str, *, before: str = "+", limit: int = 100) -> Op[list[DeadEntry]]:
    """List dead letters, the newest first.

    Args:
        before: ``+``, or ``(`` and the last entry of the page before.
        limit: how many at most.
    """
    return Op(("XREVRANGE", keys.dead(queue), before, "-", "COUNT", limit), dead_entries)


def letter(queue: str, entry: str) -> Op[list[DeadEntry]]:
    """Read one dead letter."""
    return Op(("XRANGE", keys.dead(queue), entry, entry), dead_entries)


def workers() -> Op[list[Presence]]:
    """List the workers in the register."""
    return Op(("HGETALL", keys.WORKERS), _presences)


def _seen(reply: Any) -> Seen:
    where, fields, consumer, _idle, count, due_ms, history, ended, kind, now_ms = reply
    if not where:
        return Seen(state_of(ended) if ended else None, result=ended)
    letter_of_place, entry = where[:1], where[1:].decode()
    known = _named(fields or [])
    first = known.get("first", entry.encode()).split(b"-")[0]
    if letter_of_place == b"x":
        return Seen(
            JobState.DEAD,
            known.get("call"),
            dead=dead_entry(entry, fields) if fields else None,
            result=ended,
            where=text(where),
        )
    parked = consumer is not None and text(consumer) == PARKED
    running = consumer is not None and not parked
    later = now_ms < due_ms < HELD_MS
    waiting = JobState.READY
    if letter_of_place == b"r" and count and not (later and _snoozes(history)):
        waiting = JobState.RETRYING
    elif later and text(kind) != UNKNOWN:
        # In retries, with no attempt used: given back unstarted, such as one that snoozes.
        waiting = JobState.DELAYED
    ready = known.get("ready", first)
    return Seen(
        JobState.RUNNING if running else waiting,
        known.get("call"),
        attempt=count,
        worker=text(consumer) if running else None,
        due_ms=due_ms if 0 <= due_ms < HELD_MS else None,
        enqueued_ms=ms_of(first),
        ready_ms=None if waiting is JobState.DELAYED else ms_of(ready),
        history=history or known.get("history"),
        where=text(where),
        kind=text(kind),
    )


def _snoozes(history: bytes | None) -> bool:
    """Tell whether the last thing that a job did was to snooze."""
    try:
        return History.decode(history or b"").snoozed_ms is not None
    except CallUnreadable:
        return False


def _named(fields: list[bytes]) -> dict[str, bytes]:
    """Return the fields of an entry by name; the first is the job's id and its call."""
    named = {text(fields[i]): fields[i + 1] for i in range(2, len(fields) - 1, 2)}
    if len(fields) > 1:
        named["call"] = fields[1]
    return named


def _counted(reply: Any) -> Counted:
    now_ms, live, dead, running, retrying, unknown, oldest, totals, delayed, held = reply
    numbers = {name: whole(value) or 0 for name, value in pairs(totals).items()}
    return Counted(
        now_ms=now_ms,
        ready=max(0, live - dead - running - retrying - delayed),
        running=running,
        retrying=retrying,
        unknown=unknown,
        dead=dead,
        oldest_ms=oldest if oldest >= 0 else None,
        totals={
            name: numbers.get(name, 0)
            for name in ("succeeded", "retried", "dead", "cancelled", "expired")
        },
        put_back=numbers.get("put_back", 0),
        delayed=delayed,
        held=held,
    )


def dead_entries(reply: Any) -> list[DeadEntry]:
    """Read entries of dead letters."""
    return [dead_entry(text(entry), fields) for entry, fields in reply or ()]


def dead_entry(entry: str, fields: list[bytes]) -> DeadEntry:
    """Read the entry of a dead letter."""
    named = _named(fields)
    return DeadEntry(
        entry=entry,
        job_id=text(fields[0]),
        call=named.get("call", b""),
        letter=named.get("letter", b""),
        group=text(named.get("group", b"")),
        line=text(named.get("line", b"")),
        at=named.get("at", b""),
    )


def _presences(reply: Any) -> list[Presence]:
    found = []
    for name, value in pairs(reply).items():
        seen, _, record = value.partition(b" ")
        if (seen_ms := ms_of(seen)) is not None:
            found.append(Presence(name, seen_ms, record))
    return sorted(found, key=lambda one: one.name)
