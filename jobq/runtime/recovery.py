"""What becomes of the jobs that a dead worker held: decided here, in ops that the fence guards."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobq.core import result, tally
from jobq.core.fingerprint import group_of
from jobq.core.head import Head, read_head
from jobq.core.history import AttemptRecord, History, Kind
from jobq.core.letter import Letter
from jobq.core.lines import RETRIED, letter_of
from jobq.core.options import Policy, policy_with
from jobq.core.outcome import Buried, Failure, Retrying, Snoozed, When, decide
from jobq.core.tally import CRASHED, FAILED, NO_SPAN, STARTED
from jobq.errors import CallUnreadable, JobTimedOut
from jobq.runtime.delivery import kind_after, what_stays
from jobq.runtime.describe import enqueued_ms, one_line, text
from jobq.store import keys
from jobq.store.ops import fetch, settle, upkeep
from jobq.store.ops.fetch import Held
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op

log = logging.getLogger("jobq.supervisor")

#: Jobs that are looked at in one trip.
PAGE: Final = 100

#: The names under which these ends stand in histories and dead letters.
CRASH: Final = "WorkerDied"
TIMEOUT: Final = "JobTimedOut"


@dataclass(frozen=True, slots=True)
class Released:
    """It had not been started, or it was us who ended its process: nothing is counted."""


@dataclass(frozen=True, slots=True)
class Crashed:
    """It was running in a process that died: it is charged a crash, and runs alone from now on.

    Attributes:
        how: the process ended.
        certain: it is known that this job was running. When it is not, the crash counts towards
            ``max_crashes``, so that poison stops, but uses no attempt: perhaps it never started.
    """

    how: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It ran past its hard timeout, and its process was killed: a failed attempt like others.

    Attributes:
        how: the process ended; how much memory it had.
    """

    how: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Its cancel was asked for, it did not end, and its process was killed."""


Fate = Released | Crashed | TimedOut | Cancelled


@dataclass(frozen=True, slots=True)
class Terms:
    """What the decision needs to know of the app and of the worker.

    Attributes:
        policy_for: gives the policy of a job function.
        grace: seconds between a timeout and the kill.
        rng: gives a number from 0 up to 1, for the jitter of the backoff.
        listens: a worker is to tell hooks of those that are buried.
    """

    policy_for: Callable[[str], Policy]
    grace: float
    rng: Callable[[], float]
    listens: bool = False


def recover(
    held: Held,
    fate: Fate,
    *,
    line: str,
    consumer: str,
    in_retries: bool,
    terms: Terms,
    now_ms: int,
) -> Op[bool] | Op[int]:
    """Return the op that takes one job from a dead worker.

    Args:
        line: where it is; in retries the queue.
        now_ms: milliseconds since 1970.
    """
    stream = keys.retries(line) if in_retries else keys.jobs(line)
    if not held.fields or len(held.fields) < 2:
        return upkeep.acknowledge(stream, held.entry)
    job_id, call = held.fields[0], held.fields[1]
    count, more = held.count if in_retries else 0, what_stays(held.fields)
    head = read_head(call)
    counts = tally.words(tally.one(NO_SPAN, None, *_how(fate)))
    job = tally.counted_as(head.name)
    unheard = 0 if terms.listens else None
    attempt = Attempt(line, consumer, held.entry, job_id, count, more, job, counts, unheard)
    if isinstance(fate, Cancelled) or held.is_cancelled(RETRIED if in_retries else letter_of(line)):
        log.info("cancelled job=%s", text(job_id))
        return settle.cancelled(attempt)
    named = {held.fields[i]: held.fields[i + 1] for i in range(2, len(held.fields) - 1, 2)}
    known = held.history or named.get(b"history") or b""
    if isinstance(fate, Released):
        history = b"" if in_retries else known
        kind = kind_after(known, fetch.ANY)
        return settle.release(attempt, call, delay=0.0, kind=kind, history=history)
    case = _Case(
        attempt,
        call,
        head,
        _history(known),
        enqueued_ms(named.get(b"first", held.entry), held.entry),
        terms,
        now_ms,
    )
    return case.crashed(fate) if isinstance(fate, Crashed) else case.timed_out(fate)


def _how(fate: Fate) -> tuple[str, ...]:
    """Return how an attempt is counted; nobody knows how long it ran."""
    if isinstance(fate, Crashed):
        return (CRASHED, STARTED) if fate.certain else (CRASHED,)
    if isinstance(fate, TimedOut):
        return FAILED, STARTED
    return (STARTED,) if isinstance(fate, Cancelled) else ()


@dataclass(frozen=True, slots=True)
class _Case:
    """An attempt that is charged for how its process ended."""

    attempt: Attempt
    call: bytes
    head: Head
    history: History
    enqueued_ms: int
    terms: Terms
    now_ms: int

    def crashed(self, fate: Crashed) -> Op[bool]:
        failure = Failure(CRASH, f"the worker process died: {fate.how}", "")
        after = self._after("crashed", failure)
        if after.crashes >= self._policy.max_crashes:
            times = "once" if after.crashes == 1 else f"{after.crashes} times"
            return self._bury(Buried(f"its worker died {times}", failure), after)
        later = settle.retry if fate.certain else settle.release
        return later(self.attempt, self.call, delay=0.0, kind=fetch.SUSPECT, history=after.encode())

    def timed_out(self, fate: TimedOut) -> Op[bool]:
        policy = self._policy
        limit = policy.kill_after(self.terms.grace)
        ran = "longer than it may" if limit is None else f"longer than {limit:g} s"
        message = f"the job ran {ran} and did not end; its worker process was {fate.how}"
        failure = Failure(TIMEOUT, message, "")
        error = JobTimedOut(limit or 0.0)
        when = When(self.now_ms, self.history.first_failed_ms)
        outcome = decide(policy, self._number, error, failure, self.terms.rng, when)
        after = self._after("timeout", failure)
        if isinstance(outcome, Buried):
            return self._bury(outcome, after)
        assert not isinstance(outcome, Snoozed)  # a job asks for that by an exception of its own
        self._tell(policy, outcome)
        return settle.retry(
            self.attempt,
            self.call,
            delay=outcome.after,
            kind=fetch.SUSPECT if after.crashes else fetch.ANY,
            history=after.encode(),
        )

    @property
    def _number(self) -> int:
        return max(1, self.attempt.count)

    @property
    def _policy(self) -> Policy:
        policy = self.terms.policy_for(self.head.name)
        try:
            return policy_with(policy, self.head.headers)
        except CallUnreadable:
            return policy

    def _after(self, kind: Kind, failure: Failure) -> History:
        return self.history.add(
            AttemptRecord(self._number, self.now_ms, kind, failure.error, failure.message),
            self._policy.retries,
        )

    def _bury(self, outcome: Buried, after: History) -> Op[bool]:
        failure = outcome.error
        log.error(
            "buried job=%s name=%s attempts=%d reason=%r error=%s",
            text(self.attempt.job_id),
            self.head.name[:200],
            self._number,
            outcome.reason,
            one_line(failure),
        )
        letter = Letter(outcome.reason, failure, self._number, self.enqueued_ms, after)
        blob = result.dead(failure.error, failure.message, "", self._number)
        ttl = int(self._policy.result_ttl * 1000)
        group = group_of(self.head.name, failure)
        return settle.bury(
            self.attempt,
            self.call,
            letter.encode(),
            ttl,
            blob,
            group=group,
        )

    def _tell(self, policy: Policy, outcome: Retrying) -> None:
        log.warning(
            "failed job=%s name=%s attempt=%d attempts=%d retry_in=%.1fs error=%s",
            text(self.attempt.job_id),
            self.head.name[:200],
            self._number,
            policy.retries + 1,
            outcome.after,
            one_line(outcome.error),
        )


def _history(blob: bytes) -> History:
    try:
        return History.decode(blob)
    except CallUnreadable:
        return History()
