"""Which keys there can be, by name: their type, and whether they end by themselves.

`jobq.store.keys` makes keys; this reads them. A test holds the two together.
"""

import re
from typing import Final, NamedTuple

from jobq.core.checks import check_queue
from jobq.errors import OptionError
from jobq.store import keys


class Kind(NamedTuple):
    """A kind of key: its Redis type, and whether it has a TTL."""

    type: str
    ends: bool = False


#: By what stands behind the queue; of those that end in a colon, names or ids follow.
KINDS: Final[dict[str, Kind]] = {
    "jobs": Kind("stream"),
    "jobs:high": Kind("stream"),
    "jobs:low": Kind("stream"),
    "retries": Kind("stream"),
    "dead": Kind("stream"),
    "groups": Kind("hash"),
    "grouped": Kind("zset"),
    "redated": Kind("set"),
    "due": Kind("zset"),
    "delayed": Kind("hash"),
    "index": Kind("hash"),
    "history": Kind("hash"),
    "cancels": Kind("hash"),
    "unique": Kind("hash"),
    "unheard": Kind("zset"),
    "pauses": Kind("hash"),
    "lanes": Kind("zset"),
    "meta": Kind("hash"),
    "schedules": Kind("hash"),
    "ticks": Kind("zset"),
    "tally": Kind("hash"),
    "totals": Kind("hash"),
    "ticks:": Kind("list"),
    "result:": Kind("string", ends=True),
    "progress:": Kind("hash", ends=True),
    "log:": Kind("stream", ends=True),
    "chunks:": Kind("stream", ends=True),
    "checkpoint:": Kind("string", ends=True),
    "minutes:": Kind("hash", ends=True),
    "hours:": Kind("hash", ends=True),
}

#: The keys of no queue.
GLOBAL: Final[dict[str, Kind]] = {
    keys.WORKERS: Kind("hash"),
    keys.QUEUES: Kind("set"),
    keys.CONTROL: Kind("stream"),
    keys.CLOCK: Kind("string"),
}

#: What all keys begin with.
MATCH: Final = f"{keys.QUEUES.partition(':')[0]}:*"

_OF_QUEUE: Final = re.compile(MATCH[:-1] + r"\{([^{}]*)\}:(jobs:(?:high|low)$|[a-z]+)(:?)")


def read(key: str) -> tuple[str, Kind | None]:
    """Return the queue of a key (empty: none), and its kind; None: there is no such kind."""
    if key in GLOBAL:
        return "", GLOBAL[key]
    found = _OF_QUEUE.match(key)
    if found is None:
        return "", None
    queue, name, more = found.groups()
    if not usable(queue) or (not more and found.end() != len(key)):
        return "", None
    return queue, KINDS.get(name + more)


def usable(queue: str) -> bool:
    """Tell whether a queue can have this name."""
    try:
        check_queue(queue)
    except OptionError:
        return False
    return True
