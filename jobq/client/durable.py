"""Waiting until calls are on replicas or on disk, for those who want more than Redis's word.

Imported by the first call that waits.
"""

import time
from typing import Final

from jobq.core.checks import Durability
from jobq.core.clock import Clock, SystemClock
from jobq.errors import NotConfirmed, StoreError, StoreUnavailable
from jobq.store.ops.durable import confirm as confirm_ops
from jobq.store.ops.inspect import look
from jobq.store.sync import Store

#: Seconds to wait: with appendfsync everysec a second and some, two when the disk is slow.
TIMEOUT: Final = 5.0

#: Seconds between attempts over a cut connection.
PAUSE: Final = 0.05

_GONE: Final = (
    "not found there after the connection was cut: either it has ended and kept no result, or it "
    "is lost with the Redis that had it"
)


def confirm(
    store: Store,
    queue: str,
    job_ids: tuple[str, ...],
    wanted: Durability,
    clock: Clock = SystemClock(),
) -> None:
    """Wait until what was just enqueued is where it is wanted.

    Raises:
        NotConfirmed: it is not, in time; it is in Redis all the same.
    """
    deadline = clock.monotonic() + TIMEOUT
    was_cut = False
    while True:
        left = max(0.001, deadline - clock.monotonic())
        ops = confirm_ops(queue, replicas=wanted.replicas, fsync=wanted.fsync, timeout=left)
        try:
            answers = store.exchange(ops)
        except StoreUnavailable as error:
            if clock.monotonic() + PAUSE > deadline:
                raise NotConfirmed(job_ids, f"the connection was lost: {error}") from error
            time.sleep(PAUSE)
            was_cut = True
            continue
        for answer in answers:
            if isinstance(answer, StoreError):
                raise NotConfirmed(job_ids, _why(answer)) from answer
        synced, replicas = answers[1]
        if replicas < wanted.replicas or synced < wanted.fsync:
            raise NotConfirmed(job_ids, _missing(wanted, synced, replicas))
        # Who answers after a cut may be another master, which never had it: then what was just
        # written is where it is wanted, and the job is not. The last one was added last.
        if was_cut and not _is_there(store, queue, job_ids):
            raise NotConfirmed(job_ids, _GONE)
        return


def _is_there(store: Store, queue: str, job_ids: tuple[str, ...]) -> bool:
    try:
        return store.run(look(queue, job_ids[-1])).state is not None
    except StoreError as error:
        raise NotConfirmed(job_ids, f"the connection was lost: {error}") from error


def _why(error: StoreError) -> str:
    if "unknown command" in str(error):
        return "this server has no WAITAOF: fsync=True needs Redis 7.2 or Valkey"
    return f"the server cannot confirm it: {error}"


def _missing(wanted: Durability, synced: int, replicas: int) -> str:
    parts: list[str] = []
    if replicas < wanted.replicas:
        parts.append(f"on {replicas} of {wanted.replicas} replicas")
    if synced < wanted.fsync:
        parts.append("not on its disk")
    return f"{' and '.join(parts)} after {TIMEOUT:g} s"
