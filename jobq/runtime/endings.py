"""How attempts end other than by success, as ops: given back, put off, buried, expired."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jobq.core import result, tally
from jobq.core.duration import show
from jobq.core.fingerprint import group_of
from jobq.core.head import read_head
from jobq.core.history import History
from jobq.core.letter import EXPIRED, KEPT_OF_GARBAGE, UNREADABLE, Letter
from jobq.core.lines import queue_of
from jobq.core.outcome import Buried, Failure, Snoozed
from jobq.core.redact import Redactor, secrets_in, stub
from jobq.core.registry import Definition
from jobq.core.signing import inner
from jobq.core.tally import FAILED, NO_SPAN, SNOOZED, counted_as
from jobq.errors import CallUnreadable, CallUntrusted
from jobq.runtime.delivery import Delivery, redactor_of
from jobq.runtime.describe import is_job_id, one_line, text
from jobq.runtime.item import Item
from jobq.store.ops import fetch, settle
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op

if TYPE_CHECKING:
    from jobq.runtime.hearing import Listener

log = logging.getLogger("jobq.worker")

#: Seconds that an unknown job is put back for: as long as it has been unknown, within these.
UNKNOWN_PAUSE: Final = (5.0, 300.0)

#: Seconds after which an unknown job is buried: a deploy that takes longer has failed.
UNKNOWN_LIMIT: Final = 24 * 3600.0

#: ms that the failure of what cannot be read is kept for those who wait, as results are by default.
UNREADABLE_TTL: Final = 300_000


class Endings:
    """Makes the ops that end attempts; sends nothing itself.

    Args:
        consumer: this worker, as Redis knows it.
        now_ms: Redis time, milliseconds since 1970.

    Attributes:
        listener: hears of failures; None: nobody does.
    """

    def __init__(self, consumer: str, now_ms: Callable[[], float]) -> None:
        self._consumer = consumer
        self._now_ms = now_ms
        self.listener: Listener | None = None

    def attempt(self, delivery: Delivery, *how: str) -> Attempt:
        """Return the attempt that a delivery is, with its fence.

        Args:
            how: it ended, as it is to be counted, see `jobq.core.tally.one`.
        """
        return Attempt(
            delivery.line,
            self._consumer,
            delivery.entry,
            delivery.job_id,
            delivery.count,
            delivery.more,
            _name_of(delivery),
            tally.words(tally.one(delivery.span, self._waited(delivery), *how)),
            self._unheard,
        )

    def _waited(self, delivery: Delivery) -> float | None:
        """Return the seconds that a job waited, if it has run for the first time."""
        began, ended = delivery.span
        if delivery.span is NO_SPAN or delivery.attempt > 1:
            return None
        ready = delivery.ready_ms
        if delivery.history and self.history(delivery).started_since(ready):
            return None
        return (self._now_ms() - ready) / 1000 - (ended - began)

    def history(self, delivery: Delivery) -> History:
        """Return the attempts of a job so far."""
        try:
            return History.decode(delivery.history or b"")
        except CallUnreadable:  # somebody wrote over it; the job matters more
            log.warning("ignored unreadable history job=%s", text(delivery.job_id))
            return History()

    def redactor(self, delivery: Delivery) -> Redactor | None:
        """Return what takes sensitive arguments out of texts; None: there are none."""
        return redactor_of(delivery)

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
            self.attempt(delivery, SNOOZED),
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

    def bury(
        self,
        delivery: Delivery,
        outcome: Buried,
        history: History | None,
        error: BaseException | None = None,
    ) -> Op[bool]:
        """Return the op that moves a job to the dead letters.

        Args:
            history: with this attempt; None: it was not started.
            error: what this attempt has raised.
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
        attempt = self.attempt(delivery, *(() if history is None else (FAILED,)))
        expired = result.is_expiry(failure.error, started)
        group = group_of(delivery.definition.name, failure)
        op = settle.bury(
            attempt,
            delivery.call,
            letter.encode(),
            ttl,
            blob,
            expired=expired,
            group=group,
        )
        return self._told(op, attempt, delivery.call, letter, error)

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
        own_id = b"unreadable-" + entry
        attempt = Attempt(line, self._consumer, entry, own_id, count, unheard=self._unheard)
        was = parts[0] if parts and is_job_id(parts[0]) else b""
        op = settle.bury(
            attempt,
            kept[:KEPT_OF_GARBAGE],
            letter.encode(),
            UNREADABLE_TTL,
            result.dead(failure.error, why, "", 0),
            was=was,
            group=group_of("", failure),
        )
        return self._told(op, attempt, b"", letter)

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
        return self._bury_unknown(delivery, letter)

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
            return self._bury_unknown(delivery, letter)
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

    def _bury_unknown(self, delivery: Delivery, letter: Letter) -> Op[bool]:
        """Bury a job of which nothing is known here but its call."""
        failure, attempt = letter.failure, self.attempt(delivery)
        op = settle.bury(
            attempt,
            delivery.call,
            letter.encode(),
            UNREADABLE_TTL,
            result.dead(failure.error, failure.message, "", 0),
            group=group_of(read_head(delivery.call).name, failure),
        )
        return self._told(op, attempt, delivery.call, letter)

    def told(
        self, op: Op[bool], delivery: Delivery, failure: Failure, error: BaseException
    ) -> Op[bool]:
        """Return the op of a failure that will be retried; hooks hear of it once it is done."""
        if self.listener is None:
            return op
        return self.listener.after_retry(op, delivery, failure, error)

    @property
    def _unheard(self) -> int | None:
        return None if self.listener is None else self.listener.unheard

    def _told(
        self,
        op: Op[bool],
        attempt: Attempt,
        call: bytes,
        letter: Letter,
        error: BaseException | None = None,
    ) -> Op[bool]:
        if self.listener is None:
            return op
        return self.listener.after_bury(op, (attempt.queue, attempt.job_id, call), letter, error)


def _name_of(delivery: Delivery) -> str:
    """Return under which name a job is counted, also one that is not known here."""
    known: Definition | None = getattr(delivery, "definition", None)
    return counted_as(read_head(delivery.call).name) if known is None else known.name
