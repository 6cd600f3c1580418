"""Which queue a job is in: each one is asked."""

from collections.abc import Iterable

from jobq.store.ops import inspect
from jobq.store.ops.inspect import Seen
from jobq.store.sync import Store


def find_job(store: Store, job_id: str, queues: Iterable[str]) -> tuple[str, Seen]:
    """Find the queue of a job: where it lives, else where its result is kept.

    Returns:
        The queue, and the job as it is there; with no name and no state when none knows it.
    """
    best = ("", Seen(None))
    for name in queues:
        seen = store.run(inspect.look(name, job_id))
        if seen.where:
            return name, seen
        if seen.state is not None and best[1].state is None:
            best = (name, seen)
    return best
