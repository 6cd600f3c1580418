"""How attempts end other than by success, as ops: given back, put off, buried, expired."""

import logging
from collections.abc import Callable
from typing import Final

from jobq.core import result
from jobq.core.duration import show
from jobq.core.history import History
from jobq.core.letter import EXPIRED, KEPT_OF_GARBAGE, UNREADABLE, Letter
from jobq.core.lines import queue_of
from jobq.core.outcome import Buried, Failure, Snoozed
from jobq.core.redact import Redactor, secrets_in, stub
from jobq.core.signing import inner
from jobq.errors import CallUnreadable, CallUntrusted
from jobq.runtime.delivery import Delivery, Item
from jobq.runtime.describe import is_job_id, one_line, text
from jobq.store.ops import fetch, settle
from jobq.store.ops.settle import Attempt
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


class Endings:
    """Makes the ops that end attempts; sends nothing itself.

    Args:
        consumer: this worker, as Redis knows it.
        now_ms: Redis time, milliseconds since 1970.
    """

    def __init__(self, consumer: str, now_ms: Callable[[], float]) -> None:
        self._consumer = consumer
        self._now_ms = now_ms

    def attempt(self, delivery: Delivery) -> Attempt:
        """Return the attempt that a delivery is, with its fence."""
        more, count = delivery.more, delivery.count
        return Attempt(delivery.line, self._consumer, delivery.entry, delivery.job_id, count, more)

    def history(self, delivery: Delivery) -> History:
        """Return the attempts of a job so far."""
        try:
            return History.decode(delivery.history or b"")
        except CallUnreadable:  # somebody wrote over it; the job matters more
            log.warning("ignored unreadable history job=%s", text(delivery.job_id))
            return History()

    def redactor(self, delivery: Delivery) -> Redactor | None:
        """Return what takes sensitive arguments out of texts; None: there are none."""
        marks = delivery.definition.sensitive
        if not marks and _MARKED not in delivery.call:
            return None
        # Out of the bytes again: the function may have changed what it was given.
        return Redactor(secrets_in(inner(delivery.call), marks))

    def cancelled(self, delivery: Delivery) -> Op[bool]:
        """Return the op that ends a job whose cancel was asked for."""
        log.info("cancelled job=%s name=%s", text(delivery.job_id), delivery.definition.name)
        return settle.cancelled(self.attempt(delivery))

    def give_back(self, delivery: Delivery, *, delay: float = 0.0) -> Op[bool]:
        """Return the op that gives back a delivery that was not started: nothing is counted."""
        # In retries the history stands beside the entry already; in jobs it came with it.
        history = b"" if delivery.count else delivery.history or b""
        return settle.release(
            self.attempt(delivery),
            delivery.call,
            delay=delay,
            kind=delivery.kind,
            history=history,
        )

    def snooze(self, delivery: Delivery, outcome: Snoozed, history: History) -> Op[bool]:
        """Return the op that puts a job off as it has asked; no attempt is used."""
        log.info(
            "snoozed job=%s name=%s attempt=%d for=%.1fs",
            text(delivery.job_id),
            delivery.definition.name,
            delivery.attempt,
            outcome.after,
        )
        return settle.release(
            self.attempt(delivery),
            delivery.call,
            delay=outcome.after,
            kind=delivery.kind,
            history=history.snoozed(int(self._now_ms())).encode(),
        )

    def expire(self, delivery: Delivery, waited: float, expires: float) -> Op[bool]:
        """End a job that has waited too long: it is not started."""
        why = f"it waited {show(waited)} for its first start, longer than {show(expires)} (expires)"
        ttl = int(delivery.policy.result_ttl * 1000)
        if not delivery.policy.drop_expired:
            return self.bury(
                delivery, Buried(EXPIRED, Failure(result.EXPIRED_ERROR, why, "")), None
            )
        name = delivery.definition.name
        log.warning("dropped job=%s name=%s reason=%r", text(delivery.job_id), name, why)
        return settle.expired(self.attempt(delivery), ttl, result.expired(why))

    def bury(self, delivery: Delivery, outcome: Buried, history: History | None) -> Op[bool]:
        """Return the op that moves a job to the dead letters.

        Args:
            history: with this attempt; None: it was not started.
        """
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
            history or self.history(delivery),
        )
        ttl = int(delivery.policy.result_ttl * 1000)
        blob = result.dead(failure.error, failure.message, failure.traceback, started)
        attempt = self.attempt(delivery)
        expired = result.is_expiry(failure.error, started)
        return settle.bury(attempt, delivery.call, letter.encode(), ttl, blob, expired=expired)

    def bury_garbage(self, item: Item, why: str) -> Op[bool]:
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

    def bury_untrusted(self, delivery: Delivery, error: CallUntrusted) -> Op[bool]:
        """Bury it whole, under its own id: once the keys are put right it can be retried."""
        if not is_job_id(delivery.job_id):
            return self.bury_garbage(delivery.item, str(error))
        log.error(
            "buried untrusted job=%s queue=%s reason=%s",
            text(delivery.job_id),
            delivery.queue,
            error,
        )
        failure = Failure(type(error).__name__, str(error), "")
        letter = Letter(
            error.reason,
            failure,
            delivery.attempt - 1,
            delivery.enqueued_ms,
            self.history(delivery),
        )
        blob = result.dead(failure.error, failure.message, "", 0)
        attempt = self.attempt(delivery)
        return settle.bury(attempt, delivery.call, letter.encode(), UNREADABLE_TTL, blob)

    def put_back(self, delivery: Delivery, why: str) -> Op[bool]:
        """Put back what this worker does not know: a newer release may (G12). Never drop it."""
        history = self.history(delivery)
        now = int(self._now_ms())
        since = history.unknown_since_ms or now
        unknown_for = max(0.0, (now - since) / 1000)
        attempt = self.attempt(delivery)
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
