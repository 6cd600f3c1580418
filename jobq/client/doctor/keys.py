"""A walk through the keys of jobq, so far and no further."""

from collections.abc import Iterable, Sequence

from jobq.client.together import ask, ask_all
from jobq.core.doctor.leftovers import Keys
from jobq.errors import StoreError
from jobq.store import keyspace
from jobq.store.keyspace import Kind
from jobq.store.ops import diagnose
from jobq.store.sync import Store
from jobq.store.wire import AnyOp

#: Keys of which type and TTL are asked for: two commands each.
_MOST_ASKED = 1000


def walk(store: Store, queues: Iterable[str], most: int) -> Keys | StoreError:
    """Look at keys, and return what they are, or what Redis said instead.

    Args:
        queues: those in the register.
        most: keys of the server, jobq's or not, that are walked over, about.
    """
    names: dict[str, Kind] = {}
    strange: list[str] = []
    owners: set[str] = set()
    cursor, left = "0", most
    while left > 0:
        answer = ask(store, diagnose.scan(cursor))
        if isinstance(answer, StoreError):
            return answer
        cursor, page = answer
        for key in page:
            queue, kind = keyspace.read(key)
            if kind is None:
                strange.append(key)
            elif key not in names:
                names[key] = kind
                owners |= {queue} if queue and not kind.ends else set()
        left -= diagnose.STEP
        if cursor == "0":
            break
    mistyped, endless = _wrong(store, list(names.items())[:_MOST_ASKED])
    known = set(queues)
    return Keys(
        seen=len(names) + len(strange),
        whole=cursor == "0" and len(names) <= _MOST_ASKED,
        strange=strange,
        unlisted=owners - known,
        mistyped=mistyped,
        endless=endless,
        unusable=[one for one in known if not keyspace.usable(one)],
    )


def _wrong(store: Store, keys: Sequence[tuple[str, Kind]]) -> tuple[list[str], list[str]]:
    """Return the keys that have another type than theirs, and those that should have a TTL."""
    ops: list[AnyOp] = []
    for key, _ in keys:
        ops += (diagnose.kind(key), diagnose.ttl(key))
    answers = ask_all(store, ops)
    types, ttls = answers[::2], answers[1::2]
    mistyped = [
        key
        for (key, kind), found in zip(keys, types, strict=True)
        if isinstance(found, str) and found not in {kind.type, "none"}
    ]
    endless = [
        key for (key, kind), left in zip(keys, ttls, strict=True) if kind.ends and left == -1
    ]
    return mistyped, endless
