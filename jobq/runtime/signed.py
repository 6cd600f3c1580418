"""Deliveries of a worker that has signing keys: what is not signed is not run."""

import logging
import random
from collections.abc import Callable

from jobq.core.codec import Codec
from jobq.core.duration import MAX_SECONDS
from jobq.core.lines import queue_of
from jobq.core.ports import Application
from jobq.core.registry import Registry
from jobq.core.signing import Signer
from jobq.errors import CallTooNew, CallUnreadable, CallUntrusted
from jobq.runtime.attempts import Attempts
from jobq.runtime.delivery import Delivery
from jobq.runtime.item import Item
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
            return self._end.bury_garbage(item, "not the fields of a call")
        delivery = Delivery(item)
        delivery.fields = fields  # as they came: a retry takes the signature along
        try:
            call = self._open(queue_of(item[0]), fields[0], fields[1])
            name, delivery.args, delivery.kwargs, headers = self._decode(call)
        except CallTooNew as error:
            return self._end.put_back(delivery, str(error))
        except CallUntrusted as error:
            return self._end.bury_untrusted(delivery, error)
        except CallUnreadable as error:
            return self._end.bury_garbage(item, str(error))
        definition = self._get(name)
        if definition is None:
            return self._special(delivery, name, headers)
        delivery.definition = definition
        delivery.policy = definition.policy
        return self._prepare(delivery, headers) if headers or item[3] else delivery
