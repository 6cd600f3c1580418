"""Which keys jobq may leave behind: the documented ones, and what ends by itself."""

import re
from collections.abc import Iterable

from redis import Redis

#: Keys that stay: docs/architecture.md has them with their types.
PERMANENT = re.compile(
    rb"jobq:\{[^{}]+\}:(jobs(:high|:low)?|retries|dead|due|delayed|index|meta|lanes|history"
    rb"|cancels|unique|groups|grouped|redated|unheard|tally|totals|pauses|schedules"
    rb"|ticks(:[^{} ]+)?)"
    rb"|jobq:(queues|workers|control)"
)


def leaks(redis: Redis) -> list[str]:
    """List the keys that are neither documented as permanent nor have a TTL."""
    keys = list(_all_keys(redis))
    with redis.pipeline(transaction=False) as pipe:
        suspects = [key for key in keys if not PERMANENT.fullmatch(key)]
        for key in suspects:
            pipe.pttl(key)
        # -1: no TTL; -2: it ended while we looked.
        return [
            key.decode() for key, ttl in zip(suspects, pipe.execute(), strict=True) if ttl == -1
        ]


def _all_keys(redis: Redis) -> Iterable[bytes]:
    for key in redis.scan_iter(count=1000):
        if not isinstance(key, bytes):
            raise TypeError("ask with a client that does not decode")
        yield key
