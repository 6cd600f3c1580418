"""What becomes of the jobs that a dead worker held: decided here, in ops that the fence guards."""

import logging
from typing import Final

from jobq.core import result
from jobq.core.history import AttemptRecord, History
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.errors import CallUnreadable
from jobq.runtime.describe import enqueued_ms
from jobq.store import keys
from jobq.store.ops import fetch, settle, upkeep
from jobq.store.ops.fetch import Held
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op

log = logging.getLogger("jobq.supervisor")

#: Crashes after which a job is buried, as Sidekiq Pro does: poison must stop.
MAX_CRASHES: Final = 3

#: Seconds that the failure of such a job is kept for those who wait: the policy of the job is
#: not known here, since a supervisor imports no app. The default of result_ttl.
RESULT_TTL: Final = 300.0

#: The name under which a crash stands in histories and dead letters.
ERROR: Final = "WorkerDied"


def recover(
    queue: str,
    consumer: str,
    held: Held,
    *,
    in_retries: bool,
    crash: str | None,
    now_ms: int,
    certain: bool = True,
) -> Op[bool] | Op[int]:
    """Return the op that takes one job from a dead worker.

    Args:
        crash: how the process ended, when this job was running in it: that is charged, and the
            job runs alone from now on. None: it was not started; nothing is counted.
        now_ms: milliseconds since 1970.
        certain: it is known that this job was running. When it is not, the crash counts towards
            `MAX_CRASHES`, so that poison stops, but uses no attempt: perhaps it never started.
    """
    stream = keys.retries(queue) if in_retries else keys.jobs(queue)
    if not held.fields or len(held.fields) < 2:
        return upkeep.acknowledge(stream, held.entry)
    job_id, call = held.fields[0], held.fields[1]
    attempt = Attempt(queue, consumer, held.entry, job_id, held.count if in_retries else 0)
    more = {held.fields[i]: held.fields[i + 1] for i in range(2, len(held.fields) - 1, 2)}
    known = held.history or more.get(b"history") or b""
    if crash is None:
        history = b"" if in_retries else known
        return settle.release(attempt, call, delay=0.0, kind=fetch.ANY, history=history)
    number = max(1, attempt.count)
    failure = Failure(ERROR, f"the worker process was {crash}", "")
    after = _history(known).add(
        AttemptRecord(number, now_ms, "crashed", failure.error, failure.message)
    )
    if after.crashes < MAX_CRASHES:
        later = settle.retry if certain else settle.release
        return later(attempt, call, delay=0.0, kind=fetch.SUSPECT, history=after.encode())
    since = enqueued_ms(more.get(b"first", held.entry), held.entry)
    reason = f"its worker died {after.crashes} times"
    letter = Letter(reason, failure, number, since, after)
    blob = result.dead(failure.error, failure.message, "", number)
    return settle.bury(attempt, call, letter.encode(), int(RESULT_TTL * 1000), blob)


def _history(blob: bytes) -> History:
    try:
        return History.decode(blob)
    except CallUnreadable:
        return History()
