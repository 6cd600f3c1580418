"""Ops of schedules: what supervisors do at their ticks, and what programs and people do to them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobq.core.lines import letter_of, queue_of
from jobq.core.numbers import ms_of
from jobq.core.timetable import KEPT, MOST_WAITING, Rule
from jobq.store import keys
from jobq.store.wire import Op, Script, Word, call, nothing, text

#: Schedules in one page of `page`.
PAGE: Final = 200

#: Bytes of a result that say how the job ended, whatever it returned.
_HEAD: Final = 63

_PUT = Script("schedule_put")
_TICK = Script("schedule_tick", "tally")
_NEXT = Script("schedule_next", "tally")
_RUN = Script("schedule_run", "tally")
_PAUSE = Script("schedule_pause")
_REMOVE = Script("schedule_remove")
_LIST = Script("schedule_list")
_ENDED = Script("schedule_ended")
_NOTE = Script("schedule_note")
_PROBLEM = Script("schedule_problem")

#: What `put` and `remove` answer.
ADDED: Final = 2
REPLACED: Final = 1
AS_IT_WAS: Final = 0
TAKEN: Final = -1
OLDER: Final = -2


@dataclass(frozen=True, slots=True)
class Standing:
    """A schedule as it stands in Redis.

    Attributes:
        name: its name.
        fires_ms: when its next tick fires, Redis time; None: it does not.
        definition: see `jobq.core.timetable.Rule`.
        revision: stands for all that it is.
        tick: nominal time of its next tick, ms, as text.
        paused_ms: since when it is paused; None: it is not.
        owner: the app that declares it; empty: a program added it.
        seen_ms: when the app has last declared it.
        waiting: how many ticks wait for the job of the tick before.
        problem: what keeps it from ticking; empty: nothing.
    """

    name: str
    fires_ms: float | None
    definition: bytes
    revision: str
    tick: str
    paused_ms: int | None
    owner: str
    seen_ms: int
    waiting: int
    problem: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of schedules.

    Attributes:
        changes: how often the schedules of the queue were changed.
        rows: the schedules.
        more: there may be more after it.
    """

    changes: str
    rows: tuple[Standing, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Ticked:
    """What `tick` came to.

    Attributes:
        code: 1 done; 0 done by another, or changed; -1 not yet time.
        revision: as it is now, where it is not as the sender thought.
        tick: the same; or when it is time.
        waiting: how many ticks wait for the job of the tick before.
    """

    code: int
    revision: str
    tick: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A past tick whose job has ended: its text, its job, and its dead letter, if there is one."""

    text: str
    job_id: str
    letter: str


def put(
    queue: str,
    rule: Rule,
    call_bytes: bytes,
    next_tick: tuple[int, int],
    *,
    owner: tuple[str, int] = ("", 0),
    silent_ms: int = 0,
) -> Op[tuple[int, str]]:
    """Add a schedule or replace it; or say that it is declared still. Harmless when repeated.

    Args:
        next_tick: nominal time in ms, and when it fires.
        owner: the app that declares it, and since when (Redis time, ms) its code is known.
        silent_ms: ms after which an owner that says nothing has no say.
    """
    args: tuple[Word, ...] = (
        rule.name,
        *owner,
        rule.revision(call_bytes),
        rule.timing(),
        rule.encode(),
        call_bytes,
        *next_tick,
        silent_ms,
    )
    return call(_PUT, (keys.schedules(queue), keys.ticks(queue)), args, _coded)


def tick(
    rule: Rule,
    revision: str,
    expected: str,
    next_tick: tuple[int, int],
    jobs: Sequence[tuple[int, str, bytes]],
    missed: int = 0,
) -> Op[Ticked]:
    """Make the jobs of ticks that are due, if nobody else has.

    Args:
        revision: as it was read.
        expected: the nominal time of the first of them, as it was read.
        next_tick: nominal time in ms of the tick after them, and when it fires.
        jobs: nominal time, job id and call (empty: the stored one) of each.
        missed: how many, from the first on, make no job any more.
    """
    queue = queue_of(rule.line)
    every = (
        keys.schedules(queue),
        keys.ticks(queue),
        keys.past_ticks(queue, rule.name),
        keys.jobs(rule.line),
        keys.index(queue),
        keys.tally(queue),
    )
    flat: list[Word] = [word for job in jobs for word in job]
    args: tuple[Word, ...] = (
        rule.name,
        revision,
        expected,
        *next_tick,
        rule.schedule.overlap,
        missed,
        MOST_WAITING,
        KEPT,
        letter_of(rule.line),
        *flat,
    )
    return call(_TICK, every, args, _ticked)


def make_next(rule: Rule, revision: str, job_id: str, call_bytes: bytes) -> Op[int]:
    """Make the job of the tick that waits longest, if the one before it has ended.

    Returns:
        The op; its answer is how many wait still, or -1 when the schedule has changed.
    """
    queue = queue_of(rule.line)
    every = (
        keys.schedules(queue),
        keys.past_ticks(queue, rule.name),
        keys.jobs(rule.line),
        keys.index(queue),
        keys.tally(queue),
    )
    args = (rule.name, revision, job_id, call_bytes, letter_of(rule.line))
    return call(_NEXT, every, args, int)


def run(rule: Rule, revision: str, job_id: str, call_bytes: bytes) -> Op[bool]:
    """Make a job of a schedule now; False when it has changed or is gone."""
    queue = queue_of(rule.line)
    every = (
        keys.schedules(queue),
        keys.past_ticks(queue, rule.name),
        keys.jobs(rule.line),
        keys.index(queue),
        keys.lanes(queue),
        keys.tally(queue),
    )
    args = (rule.name, revision, job_id, call_bytes, letter_of(rule.line), KEPT)
    return call(_RUN, every, args, bool, stamped=True)


def pause(queue: str, name: str) -> Op[int]:
    """Pause a schedule: 1 done, 0 it was, -1 there is none."""
    return call(_PAUSE, (keys.schedules(queue), keys.ticks(queue)), (name, "", 0), int)


def resume(queue: str, name: str, next_tick: tuple[int, int]) -> Op[int]:
    """Let a schedule go on from a tick: 1 done, 0 it was not paused, -1 there is none."""
    return call(_PAUSE, (keys.schedules(queue), keys.ticks(queue)), (name, *next_tick), int)


def remove(
    queue: str, name: str, *, owner: str = "", silent_ms: int, moved_since: int | None = None
) -> Op[tuple[int, str]]:
    """Remove a schedule, unless it is declared still.

    Args:
        owner: only if this app has declared it; empty: whoever did, or nobody.
        silent_ms: ms for which nobody may have declared it.
        moved_since: the app declares it in another queue, by code known from then on.

    Returns:
        The op; its answer is 1 removed, 0 there is none, -1 and the app that declares it.
    """
    every = (keys.schedules(queue), keys.ticks(queue), keys.past_ticks(queue, name))
    since = "" if moved_since is None else moved_since
    return call(_REMOVE, every, (name, owner, silent_ms, since), _coded)


def page(queue: str, start: int = 0) -> Op[Page]:
    """Read a page of the schedules of a queue, those that tick first before others."""
    every = (keys.schedules(queue), keys.ticks(queue))
    return call(_LIST, every, ("", start, PAGE), _page)


def one(queue: str, name: str) -> Op[Page]:
    """Read one schedule of a queue; the page is empty when there is none."""
    return call(_LIST, (keys.schedules(queue), keys.ticks(queue)), (name, 0, 0), _page)


def changes(queue: str) -> Op[str]:
    """Ask how often the schedules of a queue were changed."""
    return Op(("HGET", keys.schedules(queue), "n"), lambda reply: text(reply or b""))


def stored_call(queue: str, name: str) -> Op[bytes]:
    """Read the call of a schedule; empty when there is none."""
    return Op(("HGET", keys.schedules(queue), f"c{name}"), lambda reply: bytes(reply or b""))


def owners(queue: str, names: Sequence[str]) -> Op[list[str]]:
    """Tell which app has declared each of some schedules; empty: none, or there is none."""
    fields = tuple(f"o{name}" for name in names)
    return Op(("HMGET", keys.schedules(queue), *fields), _owners)


def past(queue: str, name: str, count: int = KEPT) -> Op[list[str]]:
    """Read the last ticks of a schedule, the newest first, as text."""
    return Op(("LRANGE", keys.past_ticks(queue, name), 0, count - 1), _texts)


def ended(queue: str, name: str) -> Op[tuple[int, list[Ended]]]:
    """List past ticks whose jobs have ended with no outcome noted; and count those that run on."""
    return call(_ENDED, (keys.past_ticks(queue, name), keys.index(queue)), (), _ended)


def result_head(queue: str, job_id: str) -> Op[bytes]:
    """Read the start of a result, which says how the job ended; empty: no result is kept."""
    return Op(("GETRANGE", keys.result(queue, job_id), 0, _HEAD), bytes)


def note(queue: str, name: str, changed: Iterable[tuple[str, str]]) -> Op[int]:
    """Note outcomes: the text of a past tick as it was, and as it is to be."""
    flat = tuple(word for pair in changed for word in pair)
    return call(_NOTE, (keys.past_ticks(queue, name),), flat, int)


def problem(queue: str, name: str, revision: str, words: str) -> Op[None]:
    """Note what keeps a schedule from ticking, for those who look at it."""
    return call(_PROBLEM, (keys.schedules(queue),), (name, revision, words), nothing)


def _coded(reply: Any) -> tuple[int, str]:
    return int(reply[0]), text(reply[1])


def _ticked(reply: Any) -> Ticked:
    return Ticked(int(reply[0]), text(reply[1]), text(reply[2]), int(reply[3]))


def _page(reply: Any) -> Page:
    # Names without a schedule, which a stranger put there, are passed over.
    rows = tuple(_standing(row) for row in reply[1:] if row[2])
    return Page(text(reply[0]), rows, len(reply) > PAGE)


def _standing(row: Any) -> Standing:
    name, fires, definition, revision, tick, paused, declared, backlog, wrong = row
    _since, seen, owner = (*text(declared).split(" ", 2), "", "", "")[:3]
    return Standing(
        name=text(name),
        fires_ms=None if fires in {b"", b"inf"} else max(0.0, float(fires)),
        definition=definition,
        revision=text(revision),
        tick=text(tick),
        paused_ms=ms_of(paused),
        owner=owner,
        seen_ms=ms_of(seen) or 0,
        waiting=backlog.count(b","),
        problem=text(wrong),
    )


def _owners(reply: Any) -> list[str]:
    return ["" if one is None else (*text(one).split(" ", 2), "", "")[2] for one in reply]


def _texts(reply: Any) -> list[str]:
    return [text(one) for one in reply]


def _ended(reply: Any) -> tuple[int, list[Ended]]:
    words = [text(one) for one in reply[1:]]
    rows = [Ended(*words[i : i + 3]) for i in range(0, len(words), 3)]
    return int(reply[0]), rows
