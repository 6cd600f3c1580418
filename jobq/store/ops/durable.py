"""Ops that wait until what was written is on replicas, or on disk."""

from typing import Any

from jobq.store import keys
from jobq.store.wire import AnyOp, Op


def confirm(queue: str, *, replicas: int, fsync: bool, timeout: float) -> list[AnyOp]:
    """Return two ops that must go out together, on one connection: a write, and the wait for it.

    Redis replicates and syncs in the order in which it writes, whoever sent it. So a later write
    that has arrived says that the job has too, also where the call was sent again after a cut and
    wrote nothing the second time (WAIT only knows the last write of its own connection).

    Args:
        replicas: how many must have it.
        fsync: it must be on the disk of the master too (Redis 7.2 and newer).
        timeout: seconds to wait.

    Returns:
        The ops; the answer of the last one is (synced to disk: 0 or 1, replicas that have it).
    """
    ms = max(1, int(timeout * 1000))
    touch: AnyOp = Op(("HINCRBY", keys.meta(queue), "confirmed", 1), int)
    if fsync:
        return [touch, Op(("WAITAOF", 1, replicas, ms), _both, block=timeout)]
    return [touch, Op(("WAIT", replicas, ms), _replicas, block=timeout)]


def _both(reply: Any) -> tuple[int, int]:
    return int(reply[0]), int(reply[1])


def _replicas(reply: Any) -> tuple[int, int]:
    return 0, int(reply)
