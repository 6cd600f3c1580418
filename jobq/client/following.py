"""Reading what a job reports while it runs: its progress, its log lines, what it streams.

Imported at the first question. Redis tells when there is more, as it tells of results: nothing is
polled, but for a look at the job itself each second.

Guarantees:
    * every chunk and line that is kept is given once and in order, also over cuts;
    * the end comes when the job has ended, after all that it had reported.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeVar

from jobq.client.producer import Producer
from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.core.job import JobState
from jobq.core.reports import Chunk, LogLine, Part, Progress, missed, position
from jobq.errors import CallUnreadable, JobNotFound, ResultUnreadable, StoreUnavailable
from jobq.store import keys
from jobq.store.ops import reports
from jobq.store.ops.inspect import has_result, look
from jobq.store.sync import Store
from jobq.store.wire import Op

T = TypeVar("T")

#: Entry, and what stands there; None: what is no report.
Page = Sequence[tuple[str, T | None]]

#: Seconds between two looks at the job while Redis is to tell of more: the longest, and the first
#: after it has told of something that was no more, as it does just before the job ends.
LOOK_EVERY: Final = 1.0
LOOK_SOON: Final = 0.01

_ENDED: Final = frozenset((JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED, JobState.EXPIRED))

_CLOCK: Final = SystemClock()


class Place(Generic[T]):
    """How far somebody has read; it decides, and asks nothing.

    Args:
        job_id: the job.
        after: the entry after which to go on; empty: from the start.
        now: a clock in seconds that never jumps.

    Attributes:
        after: the same, moved on.
        over: the job has ended: what is read from now on is all there will be.
    """

    def __init__(self, job_id: str, after: str, now: float) -> None:
        self.after: str = after
        self.over: bool = False
        self._job_id = job_id
        self._look_at = now
        self._pause = LOOK_EVERY
        self._woken = False
        self._found = bool(after)

    def read(self, page: Page[T], now: float) -> list[T]:
        """Take a page, and return what it brings."""
        if page:
            self.after = page[-1][0]
            self._found = True
        elif self._woken:
            self._look_at, self._pause = now, LOOK_SOON
        self._woken = False
        return [one for _, one in page if one is not None]

    def must_look(self, now: float) -> bool:
        """Tell whether it is time to look at the job itself."""
        return now >= self._look_at

    def looked(self, state: JobState | None, now: float) -> None:
        """Hear how the job is; None: there is no such job.

        Raises:
            JobNotFound: there never was, as far as can be told.
        """
        if state is None and not self._found:
            raise JobNotFound(self._job_id)
        self._found = True
        self.over = state is None or state in _ENDED
        self._look_at = now + self._pause
        self._pause = min(LOOK_EVERY, 2 * self._pause)

    def ended(self) -> None:
        """Hear that the job has a result."""
        self.over = True

    def pause(self, now: float) -> float:
        """Return how many seconds to wait for a notice at most."""
        return max(0.0, self._look_at - now)

    def woke(self) -> None:
        """Hear that there was a notice."""
        self._woken = True


class Following:
    """Reads what one job reports. See `jobq.client.handle.JobHandle`, which asks it."""

    __slots__ = ("_job_id", "_producer", "_queue")

    def __init__(self, producer: Producer, queue: str, job_id: str) -> None:
        self._producer = producer
        self._queue = queue
        self._job_id = job_id

    def progress(self) -> Progress | None:
        """Return how far the job is."""
        return self._producer.store.run(reports.progress(self._queue, self._job_id))

    async def aprogress(self) -> Progress | None:
        """See `progress`."""
        return await self._producer.aio.store.run(reports.progress(self._queue, self._job_id))

    def logs(self, *, follow: bool) -> Iterator[LogLine]:
        """Go through the log lines; wait for more if asked to."""
        return self._follow(self._lines, "") if follow else self._all_lines()

    def alogs(self, *, follow: bool) -> AsyncIterator[LogLine]:
        """See `logs`."""
        key, read = keys.log(self._queue, self._job_id), self._lines
        return self._afollow(key, read, "") if follow else self._aall_lines()

    def stream(self, after: str | None) -> Iterator[Part]:
        """Go through what is streamed."""
        parts = Parts(self._job_id, self._producer.codec, after)
        return map(parts.part, self._follow(self._chunks, parts.entry))

    def astream(self, after: str | None) -> AsyncIterator[Part]:
        """See `stream`."""
        parts = Parts(self._job_id, self._producer.codec, after)
        key = keys.chunks(self._queue, self._job_id)
        return _amap(parts.part, self._afollow(key, self._chunks, parts.entry))

    def _lines(self, after: str) -> Op[list[tuple[str, LogLine | None]]]:
        return reports.lines(self._queue, self._job_id, after)

    def _chunks(self, after: str) -> Op[list[tuple[str, Chunk | None]]]:
        return reports.chunks(self._queue, self._job_id, after)

    def _all_lines(self) -> Iterator[LogLine]:
        after = ""
        while page := self._producer.store.run(self._lines(after)):
            after = page[-1][0]
            yield from (line for _, line in page if line is not None)

    async def _aall_lines(self) -> AsyncIterator[LogLine]:
        after = ""
        while page := await self._producer.aio.store.run(self._lines(after)):
            after = page[-1][0]
            for _, line in page:
                if line is not None:
                    yield line

    def _follow(
        self, read: Callable[[str], Op[list[tuple[str, T | None]]]], after: str
    ) -> Iterator[T]:
        store, now = self._producer.store, _CLOCK.monotonic
        place: Place[T] = Place(self._job_id, after, now())
        with store.listening() as connection:
            while True:
                page = connection.run(read(place.after), patience=store.patience)
                yield from place.read(page, now())
                if page:
                    continue
                if place.over:
                    return
                op = has_result(self._queue, self._job_id)
                if connection.run(op, patience=store.patience):
                    place.ended()
                elif place.must_look(now()):
                    place.looked(store.run(look(self._queue, self._job_id)).state, now())
                if not place.over:
                    with suppress(StoreUnavailable):  # cut: the next turn connects again
                        if connection.wait_push(place.pause(now())):
                            place.woke()

    async def _afollow(
        self, key: str, read: Callable[[str], Op[list[tuple[str, T | None]]]], after: str
    ) -> AsyncIterator[T]:
        aio, now = self._producer.aio, _CLOCK.monotonic
        store = aio.store
        place: Place[T] = Place(self._job_id, after, now())
        ends = keys.result(self._queue, self._job_id)
        event = store.watch(key, ends)
        try:
            while True:
                event.clear()
                page = await store.run_watched(read(place.after))
                for one in place.read(page, now()):
                    yield one
                if page:
                    continue
                if place.over:
                    return
                if await store.run_watched(has_result(self._queue, self._job_id)):
                    place.ended()
                elif place.must_look(now()):
                    seen = await store.run(look(self._queue, self._job_id))
                    place.looked(seen.state, now())
                if not place.over and await aio.happens(event, place.pause(now())):
                    place.woke()
        finally:
            store.unwatch(key, event)
            store.unwatch(ends, event)


class Parts:
    """Makes parts of chunks.

    Args:
        job_id: the job.
        codec: reads the values.
        after: the id of the part after which to go on; None: from the start.

    Attributes:
        entry: where to go on.

    Raises:
        ValueError: that is no id of a part.
    """

    def __init__(self, job_id: str, codec: Codec, after: str | None) -> None:
        entry, attempt, number = ("", 0, 0) if after is None else position(after)
        self.entry: str = entry
        self._last = attempt, number
        self._job_id = job_id
        self._codec = codec

    def part(self, chunk: Chunk) -> Part:
        """Return the part that a chunk is.

        Raises:
            ResultUnreadable: its value cannot be read here.
        """
        try:
            value = self._codec.decode_value(chunk.blob)
        except CallUnreadable as error:
            raise ResultUnreadable(
                f"part {chunk.id} of job {self._job_id} cannot be read: {error}"
            ) from error
        lacking = missed(self._last, chunk)
        self._last = chunk.attempt, chunk.number
        return Part(chunk.id, value, chunk.attempt, chunk.number, lacking)


def lines_after(store: Store, queue: str, job_id: str, after: str) -> tuple[str, list[LogLine]]:
    """Return the log lines after an entry, and the last entry: for those who look by themselves."""
    lines: list[LogLine] = []
    while page := store.run(reports.lines(queue, job_id, after)):
        after = page[-1][0]
        lines += [line for _, line in page if line is not None]
    return after, lines


async def _amap(make: Callable[[Chunk], Part], chunks: AsyncIterator[Chunk]) -> AsyncIterator[Part]:
    async for chunk in chunks:
        yield make(chunk)
