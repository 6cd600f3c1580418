"""From an entry to a job that can be called, and from what it came to, to the op that says so."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.duration import MAX_SECONDS
from jobq.core.history import AttemptRecord, Kind
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
from jobq.core.registry import Registry
from jobq.core.signing import without_keys
from jobq.core.tally import FAILED
from jobq.errors import CallTooNew, CallUnreadable, JobInterrupted
from jobq.runtime.delivery import Delivery, Finished
from jobq.runtime.describe import describe, kind_of, one_line, redacted, text
from jobq.runtime.endings import Endings
from jobq.runtime.item import Item
from jobq.runtime.paused import set_aside
from jobq.store.ops import settle
from jobq.store.wire import Op

if TYPE_CHECKING:
    from jobq.runtime.hearing import Listener

log = logging.getLogger("jobq.worker")

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
        self._end = Endings(consumer, now_ms)

    def tell(self, listener: "Listener | None") -> None:
        """Let somebody hear of failures, from now on."""
        self._end.listener = listener

    def heed(self, stopped: Stopped) -> None:
        """Start none of what is paused, from the next job on that is read; from any thread."""
        self._stopped = stopped
        self._get = stopped.getter(self._registry.get_plain)

    def read(self, item: Item) -> Delivery | Op[bool]:
        """Make a delivery of an item, or the op that puts away what cannot run here."""
        fields = item[2]
        if not fields or len(fields) % 2 or not fields[0].isascii():
            return self._end.bury_garbage(item, "not the fields of a call")
        delivery = Delivery(item)
        delivery.fields = fields
        try:
            name, delivery.args, delivery.kwargs, headers = self._decode(fields[1])
        except CallTooNew as error:
            return self._end.put_back(delivery, str(without_keys(fields[1]) or error))
        except CallUnreadable as error:
            return self._end.bury_garbage(item, str(error))
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

    def done(self, delivery: Delivery, value: object) -> Finished:
        """Return the outcome of a success, its result encoded if it is to be kept."""
        ttl, item, fields = delivery.policy.result_ttl, delivery.item, delivery.fields
        ready = item[1] if len(fields) == 2 else b"%d" % delivery.ready_ms
        name, span = delivery.definition.name, delivery.span
        if ttl <= 0:
            return (item[1], fields[0], 0, b"", item[5], name, ready, span)
        try:
            blob = result.SUCCEEDED_HEAD + self._encode(value)
        except Exception as error:  # noqa: BLE001  it has run: running it again cures nothing
            why = describe(error, self._end.redactor(delivery)).message
            log.warning("kept no result job=%s error=%s", text(delivery.job_id), why)
            blob = result.unreadable(
                f"{name} returned a value that cannot be "
                f"kept: {why} Return plain data, or set result_ttl=0."
            )
        return (item[1], fields[0], max(1, int(ttl * 1000)), blob, item[5], name, ready, span)

    def succeeded(self, delivery: Delivery, value: object) -> Op[bool]:
        """Return the op that finishes a later attempt, or one that has reported something."""
        delivery.close(succeeded=True)
        done = self.done(delivery, value)
        if not delivery.count:
            return settle.settle_one(self._end.attempt(delivery), done)
        return settle.finish(self._end.attempt(delivery), done[2], done[3])

    def failed(
        self, delivery: Delivery, error: BaseException, *, cancelled: bool = False
    ) -> Op[bool]:
        """Return the op that follows a failure: another attempt later, or the dead letters.

        Args:
            cancelled: the job's cancel was asked for; then there is neither.
        """
        delivery.close(succeeded=False)
        if cancelled or isinstance(error, JobInterrupted):
            return self.cancelled(delivery)
        redactor = self._end.redactor(delivery)
        failure = describe(error, redactor)
        past = self._end.history(delivery)
        when = When(self._now_ms(), past.first_failed_ms, self._max_delay)
        outcome = decide(delivery.policy, delivery.attempt, error, failure, self._rng, when)
        if isinstance(outcome, Snoozed):
            return self._end.snooze(delivery, outcome, past)
        if redactor is not None:  # it can hold words of the exception too
            outcome = redacted(outcome, redactor)
        record = self._record(delivery.attempt, kind_of(error), outcome.error)
        history = past.add(record, delivery.policy.retries)
        if isinstance(outcome, Retrying):
            log.warning(
                "failed job=%s name=%s attempt=%d attempts=%d retry_in=%.1fs error=%s",
                text(delivery.job_id),
                delivery.definition.name,
                delivery.attempt,
                delivery.policy.retries + 1,
                outcome.after,
                one_line(outcome.error),
            )
            op = settle.retry(
                self._end.attempt(delivery, FAILED),
                delivery.call,
                delay=outcome.after,
                kind=delivery.kind,
                history=history.encode(),
            )
            return self._end.told(op, delivery, outcome.error, error)
        return self._end.bury(delivery, outcome, history, error)

    def cancelled(self, delivery: Delivery) -> Op[bool]:
        """Return the op that ends a job whose cancel was asked for."""
        return self._end.cancelled(delivery)

    def give_back(self, delivery: Delivery, *, delay: float = 0.0) -> Op[bool]:
        """Return the op that gives back a delivery that was not started: nothing is counted.

        Args:
            delay: seconds until it may be taken again.
        """
        return self._end.give_back(delivery, delay=delay)

    def _special(
        self, delivery: Delivery, name: str, headers: Mapping[str, object]
    ) -> Delivery | Op[bool]:
        """Look at a job that is not a plain one: it is paused, it can expire, or it is unknown."""
        definition = self._registry.get(name)
        if self._stopped.holds(delivery.queue, name):
            return set_aside(self._end.attempt(delivery), delivery, name, definition, self._stopped)
        if definition is None:
            return self._end.put_back(delivery, self._unknown(name))
        delivery.definition = definition
        delivery.policy = definition.policy
        return self._prepare(delivery, headers)

    def _prepare(self, delivery: Delivery, headers: Mapping[str, object]) -> Delivery | Op[bool]:
        """Apply what only some have: options of the call, attempts before this one, time limits."""
        if headers:
            try:
                delivery.policy = policy_with(delivery.policy, headers)
            except CallUnreadable as error:
                return self._end.bury_garbage(delivery.item, str(error))
        if delivery.attempt > delivery.policy.retries + 1:
            return self._end.bury(delivery, Buried(CRASHED, self._last(delivery)), None)
        if delivery.attempt > 1 and delivery.policy.retry_for is not None:
            when = When(self._now_ms(), self._end.history(delivery).first_failed_ms)
            if is_over(delivery.policy, when):
                return self._end.bury(delivery, Buried(TIME_OVER, self._last(delivery)), None)
        expires = delivery.policy.expires
        if expires is not None and delivery.attempt == 1:
            waited = (self._now_ms() - delivery.ready_ms) / 1000
            if waited > expires and not self._end.history(delivery).started_since(
                delivery.ready_ms
            ):
                return self._end.expire(delivery, waited, expires)
        return delivery

    def _unknown(self, name: str) -> str:
        near = self._registry.nearest(name)
        guess = f"; did you mean {near!r}?" if near else ""
        return f"this worker knows no job function {name[:200]!r}{guess}"

    def _last(self, delivery: Delivery) -> Failure:
        attempts = self._end.history(delivery).attempts
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
