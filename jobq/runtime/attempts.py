"""From an entry to a job that can be called, and from what it came to, to the op that says so."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.duration import MAX_SECONDS, show
from jobq.core.history import AttemptRecord, History, Kind
from jobq.core.letter import EXPIRED, KEPT_OF_GARBAGE, UNREADABLE, Letter
from jobq.core.lines import queue_of
from jobq.core.options import policy_with
from jobq.core.outcome import (
    TIME_OVER,
    Buried,
    Failure,
    Retrying,
    Snoozed,
    When,
    decide,
    is_over,
)
from jobq.core.pauses import Stopped
from jobq.core.redact import Redactor, secrets_in, stub
from jobq.core.registry import Registry
from jobq.core.signing import inner, without_keys
from jobq.errors import CallTooNew, CallUnreadable, JobInterrupted
from jobq.runtime.delivery import Delivery, Item
from jobq.runtime.describe import describe, is_job_id, kind_of, one_line, redacted, text
from jobq.runtime.paused import set_aside
from jobq.store.ops import fetch, settle
from jobq.store.ops.settle import Attempt, Done
from jobq.store.wire import Op

log = logging.getLogger("jobq.worker")

#: Seconds that an unknown job is put back for: as long as it has been unknown, within these.
UNKNOWN_PAUSE: Final = (5.0, 300.0)

#: Seconds after which an unknown job is buried: a deploy that takes longer has failed.
UNKNOWN_LIMIT: Final = 24 * 3600.0

#: ms that the failure of what cannot be read is kept for those who wait, as results are by default.
UNREADABLE_TTL: Final = 300_000

#: In calls with the header of `jobq.core.marks` these bytes stand somewhere.
_MARKED: Final = b"\xa1s"

#: What became of a job whose process died at its last attempt.
CRASHED: Final = "its worker died, and its attempts are used up"


class Attempts:
    """Reads deliveries and decides how they are settled; sends nothing itself.

    Args:
        registry: the job functions that may run.
        consumer: this worker, as Redis knows it.
        now_ms: Redis time, milliseconds since 1970: the one clock that jobs are judged by.
        rng: for the jitter of the backoff.
        max_delay: seconds that a job may put itself off.
    """

    def __init__(
        self,
        registry: Registry,
        codec: Codec,
        *,
        consumer: str,
        now_ms: Callable[[], float],
        rng: Callable[[], float],
        max_delay: float = MAX_SECONDS,
    ) -> None:
        self._registry = registry
        self._codec = codec
        self._consumer = consumer
        self._now_ms = now_ms
        self._rng = rng
        self._max_delay = max_delay
        self._decode = codec.unpack_call
        self._encode = codec.encode_value
        self._get = registry.get_plain
        self._stopped = Stopped()

    def heed(self, stopped: Stopped) -> None:
        """Start none of what is paused, from the next job on that is read; from any thread."""
        self._stopped = stopped
        self._get = stopped.getter(self._registry.get_plain)

    def read(self, item: Item) -> Delivery | Op[bool]:
        """Make a delivery of an item, or the op that puts away what cannot run here."""
        fields = item[2]
        if not fields or len(fields) % 2 or not fields[0].isascii():
            return self._bury_garbage(item, "not the fields of a call")
        delivery = Delivery(item)
        delivery.fields = fields
        try:
            name, delivery.args, delivery.kwargs, headers = self._decode(fields[1])
        except CallTooNew as error:
            return self._put_back(delivery, str(without_keys(fields[1]) or error))
        except CallUnreadable as error:
            return self._bury_garbage(item, str(error))
        definition = self._get(name)
        if definition is None:
            return self._special(delivery, name, headers)
        delivery.definition = definition
        delivery.policy = definition.policy
        if headers or item[3]:
            return self._prepare(delivery, headers)
        return delivery

    def call(self, delivery: Delivery) -> object:
        """Call the job function; for an async one the answer is the coroutine.

        Raises:
            BaseException: whatever user code raises; ArgumentError where an argument does not fit.
        """
        definition = delivery.definition
        if definition.rebuild is not None:
            args, kwargs = definition.rebuild.apply(delivery.args, delivery.kwargs)
            return definition.function(*args, **kwargs)
        return definition.function(*delivery.args, **delivery.kwargs)

    def done(self, delivery: Delivery, value: object) -> Done:
        """Return the outcome of a success, its result encoded if it is to be kept."""
        ttl, item = delivery.policy.result_ttl, delivery.item
        if ttl <= 0:
            return (item[1], delivery.fields[0], 0, b"", item[5])
        try:
            blob = result.SUCCEEDED_HEAD + self._encode(value)
        except Exception as error:  # noqa: BLE001  it has run: running it again cures nothing
            why = describe(error, self._redactor(delivery)).message
            log.warning("kept no result job=%s error=%s", text(delivery.job_id), why)
            blob = result.unreadable(
                f"{delivery.definition.name} returned a value that cannot be "
                f"kept: {why} Return plain data, or set result_ttl=0."
            )
        return (item[1], delivery.fields[0], max(1, int(ttl * 1000)), blob, item[5])

    def succeeded(self, delivery: Delivery, value: object) -> Op[bool]:
        """Return the op that finishes a later attempt."""
        done = self.done(delivery, value)
        return settle.finish(self._attempt(delivery), done[2], done[3])

    def failed(
        self, delivery: Delivery, error: BaseException, *, cancelled: bool = False
    ) -> Op[bool]:
        """Return the op that follows a failure: another attempt later, or the dead letters.

        Args:
            cancelled: the job's cancel was asked for; then there is neither.
        """
        if cancelled or isinstance(error, JobInterrupted):
            return self.cancelled(delivery)
        redactor = self._redactor(delivery)
        failure = describe(error, redactor)
        past = self._history(delivery)
        when = When(self._now_ms(), past.first_failed_ms, self._max_delay)
        outcome = decide(delivery.policy, delivery.attempt, error, failure, self._rng, when)
        if isinstance(outcome, Snoozed):
            return self._snooze(delivery, outcome, past)
        if redactor is not None:  # it can hold words of the exception too
            outcome = redacted(outcome, redactor)
        record = self._record(delivery.attempt, kind_of(error), outcome.error)
        history = past.add(record, delivery.policy.retries)
        if isinstance(outcome, Retrying):
            log.warning(
                "failed job=%s name=%s attempt=%d/%d retry_in=%.1fs error=%s",
                text(delivery.job_id),
                delivery.definition.name,
                delivery.attempt,
                delivery.policy.retries + 1,
                outcome.after,
                one_line(outcome.error),
            )
            return settle.retry(
                self._attempt(delivery),
                delivery.call,
                delay=outcome.after,
                kind=delivery.kind,
                history=history.encode(),
            )
        return self._bury(delivery, outcome, history)

    def cancelled(self, delivery: Delivery) -> Op[bool]:
        """Return the op that ends a job whose cancel was asked for."""
        log.info("cancelled job=%s name=%s", text(delivery.job_id), delivery.definition.name)
        return settle.cancelled(self._attempt(delivery))

    def give_back(self, delivery: Delivery, *, delay: float = 0.0) -> Op[bool]:
        """Return the op that gives back a delivery that was not started: nothing is counted."""
        # In retries the history stands beside the entry already; in jobs it came with it.
        history = b"" if delivery.count else delivery.history or b""
        return settle.release(
            self._attempt(delivery),
            delivery.call,
            delay=delay,
            kind=delivery.kind,
            history=history,
        )

    def _special(
        self, delivery: Delivery, name: str, headers: Mapping[str, object]
    ) -> Delivery | Op[bool]:
        """Look at a job that is not a plain one: it is paused, it can expire, or it is unknown."""
        definition = self._registry.get(name)
        if self._stopped.holds(delivery.queue, name):
            return set_aside(self._attempt(delivery), delivery, name, definition, self._stopped)
        if definition is None:
            return self._put_back(delivery, self._unknown(name))
        delivery.definition = definition
        delivery.policy = definition.policy
        return self._prepare(delivery, headers)

    def _prepare(self, delivery: Delivery, headers: Mapping[str, object]) -> Delivery | Op[bool]:
        """Apply what only some have: options of the call, attempts before this one, time limits."""
        if headers:
            try:
                delivery.policy = policy_with(delivery.policy, headers)
            except CallUnreadable as error:
                return self._bury_garbage(delivery.item, str(error))
        if delivery.attempt > delivery.policy.retries + 1:
            return self._bury(delivery, Buried(CRASHED, self._last(delivery)), None)
        if delivery.attempt > 1 and delivery.policy.retry_for is not None:
            when = When(self._now_ms(), self._history(delivery).first_failed_ms)
            if is_over(delivery.policy, when):
                return self._bury(delivery, Buried(TIME_OVER, self._last(delivery)), None)
        expires = delivery.policy.expires
        if expires is not None and delivery.attempt == 1:
            waited = (self._now_ms() - delivery.ready_ms) / 1000
            if waited > expires and not self._history(delivery).started_since(delivery.ready_ms):
                return self._expire(delivery, waited, expires)
        return delivery

    def _snooze(self, delivery: Delivery, outcome: Snoozed, history: History) -> Op[bool]:
        log.info(
            "snoozed job=%s name=%s attempt=%d for=%.1fs",
            text(delivery.job_id),
            delivery.definition.name,
            delivery.attempt,
            outcome.after,
        )
        return settle.release(
            self._attempt(delivery),
            delivery.call,
            delay=outcome.after,
            kind=delivery.kind,
            history=history.snoozed(int(self._now_ms())).encode(),
        )

    def _expire(self, delivery: Delivery, waited: float, expires: float) -> Op[bool]:
        """End a job that has waited too long: it is not started."""
        why = f"it waited {show(waited)} for its first start, longer than {show(expires)} (expires)"
        ttl = int(delivery.policy.result_ttl * 1000)
        if not delivery.policy.drop_expired:
            return self._bury(
                delivery, Buried(EXPIRED, Failure(result.EXPIRED_ERROR, why, "")), None
            )
        name = delivery.definition.name
        log.warning("dropped job=%s name=%s reason=%r", text(delivery.job_id), name, why)
        return settle.expired(self._attempt(delivery), ttl, result.expired(why))

    def _bury(self, delivery: Delivery, outcome: Buried, history: History | None) -> Op[bool]:
        started = delivery.attempt if history is not None else delivery.attempt - 1
        failure = outcome.error
        log.error(
            "buried job=%s name=%s attempts=%d reason=%r error=%s",
            text(delivery.job_id),
            delivery.definition.name,
            started,
            outcome.reason,
            one_line(failure),
        )
        letter = Letter(
            outcome.reason,
            failure,
            started,
            delivery.enqueued_ms,
            history or self._history(delivery),
        )
        ttl = int(delivery.policy.result_ttl * 1000)
        blob = result.dead(failure.error, failure.message, failure.traceback, started)
        attempt = self._attempt(delivery)
        expired = result.is_expiry(failure.error, started)
        return settle.bury(attempt, delivery.call, letter.encode(), ttl, blob, expired=expired)

    def _bury_garbage(self, item: Item, why: str) -> Op[bool]:
        """Bury what is not a call, under an id of its own: a stranger may have used any."""
        line, entry, fields, count = item[:4]
        call = inner(fields[1]) if fields and len(fields) > 1 else b""
        why = Redactor(secrets_in(call)).text(why)
        log.error("buried unreadable entry=%s queue=%s reason=%s", text(entry), queue_of(line), why)
        parts = fields or []
        kept = parts[1] if len(parts) == 2 else b" ".join(parts)
        if (shown := stub(call)) != call:
            kept = shown
        failure = Failure("CallUnreadable", why, "")
        letter = Letter(
            UNREADABLE, failure, 0, int(entry.split(b"-")[0]), History(), readable=False
        )
        attempt = Attempt(line, self._consumer, entry, b"unreadable-" + entry, count)
        was = parts[0] if parts and is_job_id(parts[0]) else b""
        return settle.bury(
            attempt,
            kept[:KEPT_OF_GARBAGE],
            letter.encode(),
            UNREADABLE_TTL,
            result.dead(failure.error, why, "", 0),
            was=was,
        )

    def _put_back(self, delivery: Delivery, why: str) -> Op[bool]:
        """Put back what this worker does not know: a newer release may (G12). Never drop it."""
        history = self._history(delivery)
        now = int(self._now_ms())
        since = history.unknown_since_ms or now
        unknown_for = max(0.0, (now - since) / 1000)
        attempt = self._attempt(delivery)
        if unknown_for > UNKNOWN_LIMIT:
            failure = Failure("UnknownJob", why, "")
            letter = Letter(
                "unknown for a day",
                failure,
                delivery.attempt - 1,
                delivery.enqueued_ms,
                history.unknown_since(None),
            )
            blob = result.dead(failure.error, why, "", 0)
            return settle.bury(attempt, delivery.call, letter.encode(), UNREADABLE_TTL, blob)
        least, most = UNKNOWN_PAUSE
        pause = min(most, max(least, unknown_for))
        log.warning("put back job=%s retry_in=%.0fs reason=%s", text(delivery.job_id), pause, why)
        return settle.release(
            attempt,
            delivery.call,
            delay=pause,
            kind=fetch.UNKNOWN,
            history=history.unknown_since(since).encode(),
        )

    def _redactor(self, delivery: Delivery) -> Redactor | None:
        """Return what takes sensitive arguments out of texts; None: there are none."""
        marks = delivery.definition.sensitive
        if not marks and _MARKED not in delivery.call:
            return None
        # Out of the bytes again: the function may have changed what it was given.
        return Redactor(secrets_in(inner(delivery.call), marks))

    def _unknown(self, name: str) -> str:
        near = self._registry.nearest(name)
        guess = f"; did you mean {near!r}?" if near else ""
        return f"this worker knows no job function {name[:200]!r}{guess}"

    def _attempt(self, delivery: Delivery) -> Attempt:
        more, count = delivery.more, delivery.count
        return Attempt(delivery.line, self._consumer, delivery.entry, delivery.job_id, count, more)

    def _history(self, delivery: Delivery) -> History:
        try:
            return History.decode(delivery.history or b"")
        except CallUnreadable:  # somebody wrote over it; the job matters more
            log.warning("ignored unreadable history job=%s", text(delivery.job_id))
            return History()

    def _last(self, delivery: Delivery) -> Failure:
        attempts = self._history(delivery).attempts
        if not attempts:
            return Failure("WorkerDied", "the worker process died", "")
        return Failure(attempts[-1].error, attempts[-1].message, attempts[-1].traceback)

    def _record(self, attempt: int, kind: Kind, failure: Failure) -> AttemptRecord:
        return AttemptRecord(
            attempt,
            int(self._now_ms()),
            kind,
            failure.error,
            failure.message,
            failure.traceback,
        )
