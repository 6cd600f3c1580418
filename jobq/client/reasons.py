"""What is known of a job and around it, gathered for `jobq why`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from jobq.client.finding import find_job
from jobq.client.rows import history_of, letter_of, moment
from jobq.client.worker_rows import worker_row
from jobq.core.checks import check_expires
from jobq.core.codec import Codec
from jobq.core.head import Head, read_head
from jobq.core.job import JobState
from jobq.core.lines import LETTERS, line_at, lines_of
from jobq.core.pauses import pausing
from jobq.core.result import decode
from jobq.core.why import MOST_AHEAD, Around, Facts, Reader, Why, explain
from jobq.errors import OptionError, ResultUnreadable
from jobq.store.ops import ahead, inspect, manage, pause, upkeep
from jobq.store.ops.inspect import Seen
from jobq.store.sync import Store

#: Workers that have said nothing for so long are not counted on.
SILENT: Final = timedelta(seconds=15)

_WAITING: Final = frozenset((JobState.DELAYED, JobState.READY, JobState.RETRYING))


class Reasons:
    """Finds out why a job is not running.

    Args:
        store: the Redis.
        codec: reads results.
        expires: seconds that the jobs of an app may wait, by the name of their function, where
            that is known.
    """

    def __init__(
        self, store: Store, codec: Codec, expires: Mapping[str, float | None] | None = None
    ) -> None:
        self._store = store
        self._codec = codec
        self._expires = expires or {}

    def why(self, job_id: str, queue: str | None = None) -> tuple[Facts, Why]:
        """Return what is known of a job, and why it is not running.

        Args:
            queue: where it is; None: look into every queue.
        """
        queues = self._store.run(inspect.queues()) if queue is None else [queue]
        facts = self._gather(job_id, *find_job(self._store, job_id, queues))
        return facts, explain(facts)

    def _gather(self, job_id: str, queue: str, seen: Seen) -> Facts:
        head = read_head(seen.call or b"")
        waits = seen.state in _WAITING
        marked = seen.state is JobState.RUNNING and self._store.run(manage.mark(queue, job_id))
        now_ms = self._store.run(upkeep.time_ms())
        return Facts(
            job_id=job_id,
            queue=queue,
            name=head.name,
            now_ms=now_ms,
            state=seen.state,
            attempt=seen.attempt,
            worker=seen.worker,
            is_ending=bool(marked),
            history=history_of(seen.history),
            letter=letter_of(seen.letter) if seen.letter else None,
            message=self._message(seen),
            around=self._around(queue, seen, head, now_ms) if waits else Around(),
        )

    def _around(self, queue: str, seen: Seen, head: Head, now_ms: int) -> Around:
        workers = [worker_row(one) for one in self._store.run(inspect.workers())]
        paused = self._store.run(pause.read(queue))
        now = moment(now_ms)
        readers = tuple(
            Reader(frozenset(one.jobs), one.state == "running", one.running, one.capacity.jobs)
            for one in workers
            if queue in one.queues and now - one.seen_at < SILENT
        )
        return Around(
            due_ms=seen.due_ms,
            ready_ms=seen.ready_ms or 0,
            expires=self._limit(head),
            pause=pausing(paused, head.name or None),
            readers=readers,
            ahead=self._ahead(queue, seen, seen.due_ms or now_ms),
        )

    def _ahead(self, queue: str, seen: Seen, since_ms: float) -> int:
        """Count what is in front of it, as far as `MOST_AHEAD`: retries, other lines, its own."""
        run = self._store.run
        count = run(ahead.due_before(queue, since_ms))
        if seen.where[:1] not in LETTERS.values():
            return count
        own = line_at(queue, seen.where[:1])
        for line in lines_of(queue):
            stop = seen.entry if line == own else ""
            last = ""
            while count <= MOST_AHEAD:
                many, last = run(ahead.waiting(line, after=last, stop=stop))
                count += many
                if many < ahead.PAGE:
                    break
            if line == own:
                break
        return count

    def _limit(self, head: Head) -> float | None:
        if "e" in head.headers:
            try:
                return check_expires(head.headers["e"])
            except OptionError:
                return None
        return self._expires.get(head.name)

    def _message(self, seen: Seen) -> str:
        try:
            return decode(seen.result, self._codec).message if seen.result else ""
        except ResultUnreadable:
            return ""
