"""For those who receive what `JobQ.webhook` posts: is it genuine?"""

from collections.abc import Mapping

from jobq.core.clock import Clock, SystemClock
from jobq.core.webhook import TOLERANCE, is_genuine

__all__ = ["verify"]


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secret: str,
    *,
    tolerance: float = TOLERANCE,
    clock: Clock = SystemClock(),
) -> bool:
    """Tell whether a request comes from somebody who knows the secret, and is not an old one.

    Compared in constant time. A request within the tolerance can still be a copy of one that has
    come already: ``webhook-id`` is the same then.

    Args:
        headers: those of the request.
        body: its bytes, as they came: before anything has parsed them.
        secret: the one that was given to `JobQ.webhook`.
        tolerance: seconds that it may be old, or from the future.
        clock: tells what time it is.

    Raises:
        OptionError: the secret has less than 16 bytes, such as one that was left empty.
    """
    return is_genuine(headers, body, secret, clock.time(), tolerance)
