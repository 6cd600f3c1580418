"""Ops of a person at the desk: cancel a job, bring a dead letter back, remove one."""

from collections.abc import Iterable

from jobq.core.result import CANCELLED
from jobq.store import keys
from jobq.store.keys import GROUP, KINDS, PARKED
from jobq.store.ops.settle import CANCELLED_MS
from jobq.store.wire import Op, Script, call, nothing, text

_CANCEL = Script("cancel", "tally")
_REVIVE = Script("revive", "groups")
_PURGE = Script("purge", "groups")

#: What `cancel` can answer.
CANCELLED_IT, NOT_WAITING, IS_RUNNING, IS_DEAD = 1, 0, -1, -2


def cancel(queue: str, job_id: str, *, running: bool = True) -> Op[int]:
    """Cancel a job; the answer is one of the four constants of this module.

    One that waits is cancelled now. One that runs is marked, so that it does not start again:
    whoever runs it must be told to interrupt it, see `jobq.store.ops.control`.

    Args:
        running: False: leave one that runs alone.
    """
    every = (
        keys.index(queue),
        keys.jobs(queue),
        keys.retries(queue),
        keys.due(queue),
        keys.history(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, job_id),
        keys.delayed(queue),
        *keys.other_jobs(queue),
        keys.unique(queue),
        keys.tally(queue),
    )
    args = (GROUP, PARKED, job_id, CANCELLED_MS, CANCELLED, KINDS, int(running))
    return call(_CANCEL, every, args, int)


def mark(queue: str, job_id: str) -> Op[str]:
    """Read where a job ran when its cancel was asked for; empty: it was not, or it has ended."""
    return Op(("HGET", keys.cancels(queue), job_id), lambda reply: text(reply) if reply else "")


def revive(
    queue: str, job_id: str, entry: str, history: bytes, call_bytes: bytes = b""
) -> Op[bool]:
    """Bring a dead letter back to the end of its line; False when it is not there.

    Args:
        history: its attempts so far, encoded.
        call_bytes: what stands there as the call from now on; empty: what does already.
    """
    every = (
        keys.dead(queue),
        keys.jobs(queue),
        keys.index(queue),
        keys.cancels(queue),
        keys.result(queue, job_id),
        *keys.other_jobs(queue),
        keys.groups(queue),
        keys.grouped(queue),
        keys.redated(queue),
    )
    return call(_REVIVE, every, (job_id, entry, history, call_bytes), bool)


def purge(queue: str, job_id: str, entry: str) -> Op[bool]:
    """Remove a dead letter for good; False when it is not there."""
    every = (
        keys.dead(queue),
        keys.index(queue),
        keys.cancels(queue),
        keys.result(queue, job_id),
        keys.unique(queue),
        keys.groups(queue),
        keys.grouped(queue),
        keys.redated(queue),
        *keys.of_reports(queue, job_id),
    )
    return call(_PURGE, every, (job_id, entry), bool)


def remove_queue(queue: str, job_ids: Iterable[str] = ()) -> list[Op[None]]:
    """Remove a queue with everything in it, and the results and reports of these jobs.

    Those of others end by themselves.
    """
    results = [
        key
        for job_id in job_ids
        for key in (keys.result(queue, job_id), *keys.of_reports(queue, job_id))
    ]
    return [
        Op(("DEL", *keys.of_queue(queue), *results), nothing),
        Op(("SREM", keys.QUEUES, queue), nothing),
    ]
