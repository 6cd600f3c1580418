"""Deliveries of a worker that has signing keys: what is not signed is not run."""

import logging
import random
from collections.abc import Callable

from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.duration import MAX_SECONDS
from jobq.core.letter import Letter
from jobq.core.lines import queue_of
from jobq.core.outcome import Failure
from jobq.core.ports import Application
from jobq.core.registry import Registry
from jobq.core.signing import Signer
from jobq.errors import CallTooNew, CallUnreadable, CallUntrusted
from jobq.runtime.attempts import UNREADABLE_TTL, Attempts
from jobq.runtime.delivery import Delivery, Item
from jobq.runtime.describe import is_job_id, text
from jobq.store.ops import settle
from jobq.store.wire import Op

log = logging.getLogger("jobq.worker")


def make_attempts(app: Application, *, consumer: str, now_ms: Callable[[], float]) -> Attempts:
    """Return what reads the deliveries of an app's worker. See `Attempts`.

    Raises:
        ConfigError: JOBQ_SIGNING_KEYS cannot be used.
    """
    registry, codec, signer = app.registry, app.codec, app.signer
    rng, most = random.random, app.max_delay  # noqa: S311  jitter
    if signer is None:
        return Attempts(registry, codec, consumer=consumer, now_ms=now_ms, rng=rng, max_delay=most)
    return SignedAttempts(
        registry, codec, signer, consumer=consumer, now_ms=now_ms, rng=rng, max_delay=most
    )


class SignedAttempts(Attempts):
    """Does what `Attempts` does, but reads signed calls.

    A class of its own, so that reading unsigned calls costs nothing more.

    Args:
        signer: checks the calls.
    """

    def __init__(
        self,
        registry: Registry,
        codec: Codec,
        signer: Signer,
        *,
        consumer: str,
        now_ms: Callable[[], float],
        rng: Callable[[], float],
        max_delay: float = MAX_SECONDS,
    ) -> None:
        super().__init__(
            registry, codec, consumer=consumer, now_ms=now_ms, rng=rng, max_delay=max_delay
        )
        self._open = signer.open

    def read(self, item: Item) -> Delivery | Op[bool]:
        """Make a delivery of an item, or the op that puts away what must not run here."""
        fields = item[2]
        if not fields or len(fields) % 2 or not fields[0].isascii():
            return self._bury_garbage(item, "not the fields of a call")
        delivery = Delivery(item)
        delivery.fields = fields  # as they came: a retry takes the signature along
        try:
            call = self._open(queue_of(item[0]), fields[0], fields[1])
            name, delivery.args, delivery.kwargs, headers = self._decode(call)
        except CallTooNew as error:
            return self._put_back(delivery, str(error))
        except CallUntrusted as error:
            return self._bury_untrusted(delivery, error)
        except CallUnreadable as error:
            return self._bury_garbage(item, str(error))
        definition = self._get(name)
        if definition is None:
            return self._special(delivery, name, headers)
        delivery.definition = definition
        delivery.policy = definition.policy
        return self._prepare(delivery, headers) if headers or item[3] else delivery

    def _bury_untrusted(self, delivery: Delivery, error: CallUntrusted) -> Op[bool]:
        """Bury it whole, under its own id: once the keys are put right it can be retried."""
        if not is_job_id(delivery.job_id):
            return self._bury_garbage(delivery.item, str(error))
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
            self._history(delivery),
        )
        blob = result.dead(failure.error, failure.message, "", 0)
        attempt = self._attempt(delivery)
        return settle.bury(attempt, delivery.call, letter.encode(), UNREADABLE_TTL, blob)
