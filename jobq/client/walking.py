"""Walking through dead letters, the newest first: those that a filter means, read in pages."""

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from jobq.client.filters import Filter
from jobq.client.sources import Source, is_meant, position, sources
from jobq.store.ops import inspect, letters
from jobq.store.ops.inspect import DeadEntry
from jobq.store.sync import Store

#: Dead letters in one read: of some KiB each, rarely of a megabyte.
PAGE: Final = 100
#: Where many queues are read side by side, each has a smaller page, but at least this one.
LEAST_PAGE: Final = 10


class Found(NamedTuple):
    """A dead letter as Redis has it.

    Attributes:
        queue: where it is.
        dead: what is there.
    """

    queue: str
    dead: DeadEntry


class _Place(NamedTuple):
    """Where a letter is, and the letter if it was read already."""

    source: Source
    entry: str
    dead: DeadEntry | None


class Walk:
    """A walk through dead letters; iterate over it once.

    Args:
        store: the Redis.
        wanted: which letters; its ages must be moments by now.
        pins: each queue with the entry that is looked at first; empty: the newest one.
        limit: how many letters to find at most; None: all.

    Attributes:
        walked: how many letters were looked at so far, to tell whether they are meant.
        cut: the filter's ``scan`` was reached: there may be more.
    """

    def __init__(
        self,
        store: Store,
        wanted: Filter,
        pins: Sequence[tuple[str, str]],
        limit: int | None = None,
    ) -> None:
        self.walked: int = 0
        self.cut: bool = False
        self._store = store
        self._wanted = wanted
        self._pins = pins
        self._limit = limit

    def __iter__(self) -> Iterator[Found]:
        return islice(self.through(sources(self._store, self._wanted, self._pins)), self._limit)

    def through(self, every: Sequence[Source]) -> Iterator[Found]:
        """Walk through these sources, whatever the limit."""
        size = max(LEAST_PAGE, PAGE // max(1, len(every)))
        batch = PAGE
        if self._limit is not None and all(source.sure for source in every):
            size, batch = (max(1, min(one, self._limit)) for one in (size, batch))
        lines = [self._stream(source, size) for source in every if not source.group]
        lines += self._groups([source for source in every if source.group], size)
        places = merge(*lines, key=lambda one: position(one.entry), reverse=True)
        scan = self._wanted.scan
        while page := list(islice(places, batch)):
            for source, dead in self._read(page):
                if not source.sure:
                    if scan is not None and self.walked >= scan:
                        self.cut = True
                        return
                    self.walked += 1
                    if not is_meant(self._wanted, dead):
                        continue
                yield Found(source.queue, dead)

    def _stream(self, source: Source, size: int) -> Iterator[_Place]:
        newest = source.newest or "+"
        while True:
            # One more than is wanted: where there is no next page, asking for it would take long.
            op = letters.page(source.queue, newest, source.oldest or "-", size + 1)
            page = self._store.run(op)
            for dead in page[:size]:
                yield _Place(source, dead.entry, dead)
            if len(page) <= size:
                return
            newest = page[size].entry

    def _groups(self, every: Sequence[Source], size: int) -> list[Iterator[_Place]]:
        first = self._store.run_each(
            letters.entries(one.queue, one.group, one.newest, one.oldest, size) for one in every
        )
        return [self._group(one, page, size) for one, page in zip(every, first, strict=True)]

    def _group(self, source: Source, page: list[str], size: int) -> Iterator[_Place]:
        while page:  # a short one need not be the last: what is no name was left out of it
            for entry in page:
                yield _Place(source, entry, None)
            newest = "(" + page[-1]
            op = letters.entries(source.queue, source.group, newest, source.oldest, size)
            page = self._store.run(op)

    def _read(self, places: Sequence[_Place]) -> list[tuple[Source, DeadEntry]]:
        """Read the letters in these places; what has gone is left out."""
        missing = [place for place in places if place.dead is None]
        ops = [inspect.letter(place.source.queue, place.entry) for place in missing]
        answers = self._store.run_each(ops)
        read = dict(zip(missing, answers, strict=True))
        found: list[tuple[Source, DeadEntry]] = []
        for place in places:
            dead = [place.dead] if place.dead is not None else read[place]
            found += [(place.source, one) for one in dead]
        return found
