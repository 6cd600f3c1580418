"""The two sides of `jobq bench`, alike from outside: jobq, and the bare loops."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from jobq.cli.bench_app import HOLD, MARK, NOOP, SOMEBODY, STORED
from jobq.cli.bench_lab import Lab
from jobq.store.bare.server import drop, entries_left, jobs_left

#: Coroutines that enqueue at once.
AT_ONCE: Final = 50

#: Arguments of calls.
Calls = Sequence[tuple[int, str]]


class Crew(Protocol):
    """A queue, and the worker that reads it."""

    def check(self) -> None:
        """See that the worker lives."""

    def hold(self, path: str) -> None:
        """Enqueue the job that holds the worker up."""

    def many(self, count: int, *, stored: bool) -> None:
        """Enqueue jobs that do nothing, whose results are kept or not."""

    def mark(self, path: str) -> None:
        """Enqueue the job that tells when it was started."""

    def left(self) -> int:
        """Count the jobs that are not finished."""


class Side(Crew, Protocol):
    """A crew, and a queue that nobody reads."""

    def one_by_one(self, calls: Calls) -> None:
        """Enqueue calls, each with a round trip of its own."""

    def at_once(self, calls: Calls) -> float:
        """Enqueue calls from `AT_ONCE` coroutines; return how many seconds it took."""

    def in_bulk(self, calls: Calls) -> None:
        """Enqueue calls a thousand a round trip."""

    def forget(self) -> None:
        """Remove what was enqueued by these three."""


class JobqSide:
    """What users call. See `Side`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.check = lab.worker.check

    def one_by_one(self, calls: Calls) -> None:
        """See `Side`."""
        delay = self._lab.loose.noop.delay
        for number, text in calls:
            delay(number, text)

    def at_once(self, calls: Calls) -> float:
        """See `Side`."""
        return asyncio.run(self._at_once(calls))

    def in_bulk(self, calls: Calls) -> None:
        """See `Side`."""
        self._lab.loose.noop.map(calls)

    def forget(self) -> None:
        """See `Side`."""
        self._lab.store.run(drop(self._lab.loose.noop.queue))

    def hold(self, path: str) -> None:
        """See `Crew`."""
        self._lab.jobs.hold.delay(path)

    def many(self, count: int, *, stored: bool) -> None:
        """See `Crew`."""
        calls = [(number, SOMEBODY) for number in range(count)]
        if stored:
            self._lab.jobs.stored.map(calls)
        else:
            self._lab.jobs.noop.map(calls)

    def mark(self, path: str) -> None:
        """See `Crew`."""
        self._lab.jobs.mark.delay(path)

    def left(self) -> int:
        """See `Crew`."""
        return self._lab.store.run(jobs_left(self._lab.jobs.noop.queue))

    async def _at_once(self, calls: Calls) -> float:
        clock, adelay = self._lab.clock, self._lab.loose.noop.adelay
        try:
            await adelay(*calls[0])  # connects
            left = iter(calls)

            async def add() -> None:
                for number, text in left:
                    await adelay(number, text)

            began = clock.monotonic()
            await asyncio.gather(*(add() for _ in range(AT_ONCE)))
            return clock.monotonic() - began
        finally:
            await self._lab.loose.app.astore.close()


class BareSide:
    """The bare loops. See `Side`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.check = lab.bare_worker.check

    def one_by_one(self, calls: Calls) -> None:
        """See `Side`."""
        self._lab.bare_loose.one_by_one(NOOP, calls)

    def at_once(self, calls: Calls) -> float:
        """See `Side`."""
        return self._lab.bare_loose.many_at_once(NOOP, calls, AT_ONCE)

    def in_bulk(self, calls: Calls) -> None:
        """See `Side`."""
        self._lab.bare_loose.in_bulk(NOOP, calls)

    def forget(self) -> None:
        """See `Side`."""
        self._lab.store.run(drop(self._lab.bare_loose.queue))

    def hold(self, path: str) -> None:
        """See `Crew`."""
        self._lab.bare.one(HOLD, path)

    def many(self, count: int, *, stored: bool) -> None:
        """See `Crew`."""
        calls = [(number, SOMEBODY) for number in range(count)]
        self._lab.bare.in_bulk(STORED if stored else NOOP, calls)

    def mark(self, path: str) -> None:
        """See `Crew`."""
        self._lab.bare.one(MARK, path)

    def left(self) -> int:
        """See `Crew`."""
        return self._lab.store.run(entries_left(self._lab.bare.queue))


class NapCrew:
    """jobq's async jobs. See `Crew`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.check = lab.async_worker.check

    def hold(self, path: str) -> None:
        """See `Crew`."""
        self._lab.naps.hold.delay(path)

    def many(self, count: int, *, stored: bool) -> None:
        """See `Crew`; they sleep, and keep nothing."""
        del stored
        self._lab.naps.nap.map([()] * count)

    def mark(self, path: str) -> None:
        """See `Crew`."""
        self._lab.naps.mark.delay(path)

    def left(self) -> int:
        """See `Crew`."""
        return self._lab.store.run(jobs_left(self._lab.naps.nap.queue))
