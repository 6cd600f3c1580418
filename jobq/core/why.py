"""Why a job is not running: one reason out of what is known of it; no I/O, no clock."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from jobq.core.duration import show
from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.letter import Letter
from jobq.core.pauses import PauseRecord

#: Jobs in front of one that are counted at most.
MOST_AHEAD: Final = 10_000

#: The last ms that a datetime can have: whatever stands in Redis, it is shown.
_LAST_MS: Final = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Reader:
    """A live worker that reads the queue of the job.

    Attributes:
        jobs: the names of the job functions that it knows.
        takes: it takes new jobs: it is not draining or stopping.
        running: how many jobs it runs.
        room: how many it can run at once.
    """

    jobs: frozenset[str]
    takes: bool
    running: int
    room: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is around a job that waits.

    Attributes:
        due_ms: when it can be started, Redis time in ms; None: now.
        ready_ms: since when it can be started.
        expires: seconds that it may wait from then on, as far as the call tells; None: any.
        pause: what keeps it from being started; None: nothing is paused.
        readers: the live workers that read its queue.
        ahead: how many jobs are in front of it; over `MOST_AHEAD`: so many at least.
    """

    due_ms: int | None = None
    ready_ms: int = 0
    expires: float | None = None
    pause: PauseRecord | None = None
    readers: tuple[Reader, ...] = ()
    ahead: int = 0


_NOTHING: Final = History()
_NOWHERE: Final = Around()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a job.

    Attributes:
        job_id: its id.
        queue: where it is; empty: nobody knows it.
        name: of its job function; empty: its call cannot be read.
        now_ms: Redis time in ms.
        state: None: there is no such job.
        attempt: the attempt that runs, or the last one that was used; 0 before the first.
        worker: the one that runs it.
        is_ending: its cancel was asked for.
        history: its attempts so far.
        letter: why it is dead; None: it is not, or that cannot be read.
        message: what its result says of how it ended.
        around: what is around it.
    """

    job_id: str
    queue: str = ""
    name: str = ""
    now_ms: int = 0
    state: JobState | None = None
    attempt: int = 0
    worker: str | None = None
    is_ending: bool = False
    history: History = _NOTHING
    letter: Letter | None = None
    message: str = ""
    around: Around = _NOWHERE


@dataclass(frozen=True, slots=True)
class Why:
    """One reason.

    Attributes:
        code: one word for programs.
        sentence: the same for people.
        fix: what to do about it, a command or a sentence; empty: nothing, or just wait.
        until_ms: until when, Redis time in ms; None: that is not known.
    """

    code: str
    sentence: str
    fix: str = ""
    until_ms: int | None = None


def explain(facts: Facts) -> Why:
    """Return why a job is not running; that it is, or has ended, is an answer too."""
    known = _ENDS.get(facts.state)
    if known is not None:
        return known(facts)
    return next(found for reason in _REASONS if (found := reason(facts)) is not None)


def _missing(facts: Facts) -> Why:
    return Why(
        "missing",
        f"There is no job {facts.job_id}: it finished and its result is no longer kept, it was "
        "removed, or it was never there.",
        "jobq queues shows what waits, jobq dlq list what failed",
    )


def _dropped(facts: Facts) -> Why:
    return Why("expired", f"It has expired and was dropped: {facts.message}.")


def _running(facts: Facts) -> Why:
    on = f" on {facts.worker}" if facts.worker else ""
    if facts.is_ending:
        return Why("ending", f"It is running{on}, and its cancel was asked for.")
    number = f", attempt {facts.attempt}" if facts.attempt > 1 else ""
    return Why("running", f"It is running{on}{number}.")


def _dead(facts: Facts) -> Why:
    letter, fix = facts.letter, f"jobq dlq retry {facts.job_id}"
    if letter is None:
        return Why("dead", "It is dead; its dead letter cannot be read.", fix)
    failure = letter.failure
    if letter.is_expired:
        return Why("expired", f"It has expired: {failure.message}.", fix)
    error = ": ".join(part for part in (failure.error, failure.message[:200]) if part)
    times = f"{letter.attempts} attempt" + ("" if letter.attempts == 1 else "s")
    said = f" ({error})" if error else ""
    if not letter.readable:
        fix = f"jobq dlq show {facts.job_id}"
    return Why("dead", f"It is dead after {times}: {letter.reason}{said}.", fix)


_ENDS: Final[Mapping[JobState | None, Callable[[Facts], Why]]] = {
    None: _missing,
    JobState.RUNNING: _running,
    JobState.SUCCEEDED: lambda _: Why("succeeded", "It has succeeded."),
    JobState.CANCELLED: lambda _: Why("cancelled", "It was cancelled."),
    JobState.EXPIRED: _dropped,
    JobState.DEAD: _dead,
}

# why one that waits does: the first that applies is told


def _later(facts: Facts) -> Why | None:
    """It is not due yet."""
    due, history = facts.around.due_ms, facts.history
    if due is None or due <= facts.now_ms:
        return None
    until = _time(due, facts.now_ms)
    also = f"; {_paused_since(facts)}" if facts.around.pause else ""
    if history.unknown_since_ms is not None:
        since = _time(history.unknown_since_ms, facts.now_ms)
        return Why(
            "unknown",
            f"The workers of {facts.queue} put it back since {since}: none that took it knows "
            f"{_called(facts)}, or can read its call. It is tried again at {until}{also}.",
            _run_worker(facts),
            due,
        )
    if history.snoozed_ms is not None:
        times = "" if history.snoozes == 1 else f", for the {_ordinal(history.snoozes)} time"
        return Why("snoozed", f"It has snoozed itself{times}, until {until}{also}.", "", due)
    if facts.state is JobState.RETRYING:
        return Why("retry", f"It waits for {_number(facts)} until {until}{also}.", "", due)
    return Why("delayed", f"It is delayed until {until}{also}.", "", due)


def _paused(facts: Facts) -> Why | None:
    pause = facts.around.pause
    if pause is None:
        return None
    sentence = _paused_since(facts)
    job = "" if pause.job is None else f" --job {pause.job}"
    fix = f"jobq queue resume {facts.queue}{job}"
    return Why("paused", f"{sentence[0].upper()}{sentence[1:]}.", fix, pause.until_ms)


def _expired(facts: Facts) -> Why | None:
    """It has expired, and nobody has looked at it yet."""
    around = facts.around
    if around.expires is None or facts.attempt or facts.history.started_since(around.ready_ms):
        return None
    waited = (facts.now_ms - around.ready_ms) / 1000
    if waited <= around.expires:
        return None
    return Why(
        "expired",
        f"It has expired: it has waited {show(waited)} for its first start, longer than "
        f"{show(around.expires)}. The next worker that takes it will not start it.",
    )


def _unread(facts: Facts) -> Why | None:
    readers = facts.around.readers
    if not readers:
        return Why("no worker", f"No live worker reads queue {facts.queue}.", _run_worker(facts))
    if not any(one.takes for one in readers):
        many = "The worker" if len(readers) == 1 else f"All {len(readers)} workers"
        takes = "takes" if len(readers) == 1 else "take"
        return Why(
            "draining",
            f"{many} of queue {facts.queue} {takes} nothing new: draining or stopping.",
            _run_worker(facts),
        )
    return None


def _unknown(facts: Facts) -> Why | None:
    readers = [one for one in facts.around.readers if one.takes]
    if not facts.name or any(facts.name in one.jobs for one in readers):
        return None
    return Why(
        "unknown",
        f"No live worker of queue {facts.queue} knows a job function {facts.name!r}.",
        _run_worker(facts),
    )


def _crashed(facts: Facts) -> Why | None:
    crashes = facts.history.crashes
    if not crashes or not facts.history.started_since(facts.around.ready_ms):
        return None
    times = "once" if crashes == 1 else f"{crashes} times"
    return Why(
        "crashed",
        f"Its worker process died {times} while it ran, so it waits for a process of its own.",
    )


def _busy(facts: Facts) -> Why | None:
    readers = [one for one in facts.around.readers if one.takes]
    running, room = sum(one.running for one in readers), sum(one.room for one in readers)
    if running < room:
        return None
    return Why(
        "busy",
        f"Every worker of queue {facts.queue} is busy: {running:,} of {room:,} jobs run, and "
        f"{_ahead(facts)}.",
        f"start more: jobq worker --queue {facts.queue}",
    )


def _behind(facts: Facts) -> Why | None:
    if not facts.around.ahead:
        return None
    sentence = _ahead(facts)
    return Why("behind", f"{sentence[0].upper()}{sentence[1:]}.")


def _next(facts: Facts) -> Why | None:
    """Nothing is known that keeps it."""
    what = _number(facts) if facts.attempt else "its start"
    return Why("next", f"Nothing keeps it: it is the next one, and waits for {what} right now.")


_REASONS: Final[tuple[Callable[[Facts], Why | None], ...]] = (
    _later,
    _paused,
    _expired,
    _unread,
    _unknown,
    _crashed,
    _busy,
    _behind,
    _next,
)

# words


def _paused_since(facts: Facts) -> str:
    pause = facts.around.pause
    assert pause is not None
    what = "" if pause.job is None else f"job function {pause.job} of "
    return f"{what}queue {facts.queue} is paused{''.join(_details(pause, facts.now_ms))}"


def _details(pause: PauseRecord, now_ms: int) -> Iterator[str]:
    if pause.since_ms:
        yield f" since {_time(pause.since_ms, now_ms)}"
    if pause.by:
        yield f" by {pause.by}"
    if pause.until_ms is not None:
        yield f", until {_time(pause.until_ms, now_ms)}"
    if pause.reason:
        yield f": {pause.reason}"


def _ahead(facts: Facts) -> str:
    ahead = facts.around.ahead
    if not ahead:
        return "it is the next one"
    if ahead > MOST_AHEAD:
        return f"it waits behind more than {MOST_AHEAD:,} others"
    return f"it waits behind {ahead:,} other" + ("" if ahead == 1 else "s")


def _number(facts: Facts) -> str:
    most = facts.history.retries
    if not facts.attempt:
        return "its start"
    of = f" of {most:,}" if most is not None and facts.attempt <= most else ""
    return f"retry {facts.attempt}{of}"


def _called(facts: Facts) -> str:
    return f"a job function {facts.name!r}" if facts.name else "its job function"


def _run_worker(facts: Facts) -> str:
    of = f" whose app has {facts.name}" if facts.name else ""
    return f"start one{of}: jobq worker --queue {facts.queue}"


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    end = "th" if number % 100 in {11, 12, 13} else ends.get(number % 10, "th")
    return f"{number:,}{end}"


def _time(ms: int, now_ms: int) -> str:
    moment = datetime.fromtimestamp(min(max(ms, 0), _LAST_MS) / 1000, UTC)
    away = round(abs(ms - now_ms) / 1000)
    ago = "now" if not away else f"in {show(away)}" if ms > now_ms else f"{show(away)} ago"
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({ago})"
