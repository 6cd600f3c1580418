"""Dead letters: found, brought back, removed.

Guarantees:
    * reads come in pages, whatever the size of a queue;
    * what changes dead letters touches only those that were there when they were selected: a job
      that dies again meanwhile is left alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from jobq.client.editing import Change, Editing
from jobq.client.filters import EVERY_LETTER, Filter
from jobq.client.finding import find_job
from jobq.client.grouping import GroupRow, grouped, with_samples
from jobq.client.rows import LetterRow, letter_of, letter_row, moment
from jobq.client.sources import counts, sources
from jobq.client.walking import Found, Walk
from jobq.core.codec import Codec
from jobq.core.history import History
from jobq.core.registry import Registry
from jobq.core.signing import Signer, inner
from jobq.errors import CallTooNew, CallUnreadable, ConfigError
from jobq.store.ops import inspect, manage, upkeep
from jobq.store.ops.inspect import DeadEntry
from jobq.store.ops.letters import edit
from jobq.store.sync import Store
from jobq.store.wire import Op

#: Dead letters that are changed in one go.
BATCH: Final = 100
#: Refusals that are told by name; the rest is counted.
MOST_NAMED: Final = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """The dead letters that a filter means, as they were at one moment.

    Attributes:
        wanted: the filter, its ages as moments.
        newest: each queue with the entry of its newest letter then.
        count: how many are meant.
        walked: how many letters were read to tell that.
        cut: not all were read (``scan``): there may be more, which are not in the selection.
    """

    wanted: Filter
    newest: tuple[tuple[str, str], ...]
    count: int
    walked: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter that cannot be retried, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of one batch of dead letters.

    Attributes:
        done: the ids of the jobs that were brought back, or removed.
        gone: the ids of those that were no dead letters any more.
        refused: those that cannot be retried.
    """

    done: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Changes:
    """What came of `Letters.retry` or `Letters.purge`.

    Attributes:
        done: how many dead letters were retried or purged.
        missing: the ids that were asked for and are no dead letters.
        refused: those that cannot be retried, the first hundred of them.
        refusals: how many there are of these.
    """

    done: int
    missing: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    refusals: int = 0


class Letters:
    """The dead letters of a Redis.

    Args:
        store: the Redis.
        codec: reads arguments; types that are not registered with it stay unread.
        signer: checks what is retried, and signs it where that is wanted; None: workers check it.
        registry: the job functions that are known here, for checking edited arguments; None: none.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        signer: Signer | None = None,
        registry: Registry | None = None,
    ) -> None:
        self._store = store
        self._codec = codec
        self._signer = signer
        self._editing = Editing(codec, signer, registry)

    def now(self) -> datetime:
        """Return the time of Redis: the clock of all times that are told here."""
        return moment(self._store.run(upkeep.time_ms()))

    def walk(self, wanted: Filter = EVERY_LETTER, limit: int | None = None) -> Walk:
        """Return a walk through dead letters as Redis has them, the newest first; see `row`.

        Args:
            wanted: which letters.
            limit: how many at most; None: all.
        """
        names = self._names(wanted.queue)
        return Walk(self._store, self._fixed(wanted), [(one, "") for one in names], limit)

    def rows(self, wanted: Filter = EVERY_LETTER, limit: int | None = None) -> Iterator[LetterRow]:
        """List dead letters, the newest first, page by page. See `walk`."""
        return map(self.row, self.walk(wanted, limit))

    def row(self, found: Found) -> LetterRow:
        """Read a dead letter."""
        return letter_row(*found, self._codec)

    def letter(self, job_id: str, queue: str | None = None) -> LetterRow | None:
        """Read the dead letter of a job; None when it has none."""
        found = self.find(job_id, queue)
        return None if found is None else self.row(found)

    def find(self, job_id: str, queue: str | None = None) -> Found | None:
        """Find the dead letter of a job; None when it has none.

        Args:
            job_id: its id.
            queue: where it is; None: look into every queue.
        """
        name, seen = find_job(self._store, job_id, self._names(queue))
        return None if seen.dead is None else Found(name, replace(seen.dead, job_id=job_id))

    def select(self, wanted: Filter = EVERY_LETTER) -> Selection:
        """Take note of the dead letters that a filter means, and count them."""
        wanted = self._fixed(wanted)
        newest: list[tuple[str, str]] = []
        for name in self._names(wanted.queue):
            first = self._store.run(inspect.letters(name, limit=1))
            if first:
                newest.append((name, first[0].entry))
        every = sources(self._store, wanted, newest)
        known = counts(self._store, every)
        unsure = [one for one, number in zip(every, known, strict=True) if number is None]
        walk = Walk(self._store, wanted, newest)
        found = sum(1 for _ in walk.through([replace(one, sure=False) for one in unsure]))
        total = sum(number or 0 for number in known) + found
        return Selection(wanted, tuple(newest), total, walk.walked, walk.cut)

    def groups(self, wanted: Filter = EVERY_LETTER) -> list[GroupRow]:
        """List the groups of letters that died of the same thing, the largest first.

        Args:
            wanted: which; of messages it means the one that is known of a group.
        """
        return grouped(self._store, self._fixed(wanted), self._names(wanted.queue))

    def samples(self, rows: Sequence[GroupRow]) -> list[GroupRow]:
        """Return groups with the ids of their newest jobs."""
        return with_samples(self._store, rows)

    def edit(self, found: Found, change: Change) -> bool:
        """Give a dead letter other arguments; False: it is no dead letter any more.

        Args:
            found: the letter.
            change: makes the new arguments of those that it has.

        Raises:
            CallUnreadable: its call cannot be read, or not here.
            ConfigError: it is signed, and there is no key to sign it with again.
            EnqueueError: the new arguments cannot travel, or do not fit the job function.
        """
        blob = self._editing.changed(found, change)
        return self._store.run(edit(found.queue, found.dead.job_id, found.dead.entry, blob))

    def checks(self, name: str) -> bool:
        """Tell whether `edit` can check arguments against a job function."""
        return self._editing.knows(name)

    def chosen(self, selection: Selection) -> Walk:
        """Return the walk through what was selected, for `revive` or `remove`, batch by batch."""
        return Walk(self._store, selection.wanted, selection.newest)

    def revive(self, batch: Iterable[Found], *, resign: bool = False) -> Batch:
        """Bring dead letters back to the end of their queues, with their history, in one go.

        Args:
            batch: some hundreds at most.
            resign: sign the calls anew, whoever wrote them.

        Raises:
            ConfigError: there is no key to sign with.
            StoreError: Redis refused or is gone; some may be back.
        """
        if resign and self._signer is None:
            raise ConfigError("there is no key to sign with: set JOBQ_SIGNING_KEYS, or name --app")
        ops: list[tuple[str, Op[bool]]] = []
        refused: list[Refusal] = []
        for found in batch:
            try:
                ops.append((found.dead.job_id, self._revive(found, resign=resign)))
            except CallUnreadable as error:
                refused.append(Refusal(found.dead.job_id, str(error)))
        return self._together(ops, tuple(refused))

    def remove(self, batch: Iterable[Found]) -> Batch:
        """Remove dead letters for good. See `revive`."""
        return self._together(
            [(dead.job_id, manage.purge(queue, dead.job_id, dead.entry)) for queue, dead in batch]
        )

    def retry(
        self, which: Selection | Sequence[str], queue: str | None = None, *, resign: bool = False
    ) -> Changes:
        """Bring dead letters back to the end of their queues, all of them.

        Args:
            which: a selection, whose newest letter comes first; or ids of jobs.
            queue: where the ids are; None: look into every queue.
            resign: sign the calls anew, whoever wrote them.

        Raises:
            ConfigError: there is no key to sign with.
        """
        return self._change(which, queue, lambda batch: self.revive(batch, resign=resign))

    def purge(self, which: Selection | Sequence[str], queue: str | None = None) -> Changes:
        """Remove dead letters for good; the arguments are those of `retry`."""
        return self._change(which, queue, self.remove)

    # how it is done

    def _names(self, queue: str | None) -> list[str]:
        return self._store.run(inspect.queues()) if queue is None else [queue]

    def _fixed(self, wanted: Filter) -> Filter:
        """Return a filter with moments in the place of ages."""
        return wanted.at(self.now()) if wanted.has_ages else wanted

    def _change(
        self,
        which: Selection | Sequence[str],
        queue: str | None,
        act: Callable[[Sequence[Found]], Batch],
    ) -> Changes:
        done = refusals = 0
        missing: list[str] = []
        refused: list[Refusal] = []
        if isinstance(which, Selection):
            left: Iterator[Found] = iter(self.chosen(which))
        else:
            found = {job_id: self.find(job_id, queue) for job_id in which}
            missing += [job_id for job_id, one in found.items() if one is None]
            left = (one for one in found.values() if one is not None)
        while batch := list(islice(left, BATCH)):
            came = act(batch)
            done += len(came.done)
            refusals += len(came.refused)
            refused += came.refused[: MOST_NAMED - len(refused)]
            if not isinstance(which, Selection):
                missing += came.gone
        return Changes(done, tuple(missing), tuple(refused), refusals)

    def _together(
        self, ops: Sequence[tuple[str, Op[bool]]], refused: tuple[Refusal, ...] = ()
    ) -> Batch:
        answers = list(self._store.run_each(op for _, op in ops))
        done = tuple(job_id for (job_id, _), was in zip(ops, answers, strict=True) if was)
        gone = tuple(job_id for (job_id, _), was in zip(ops, answers, strict=True) if not was)
        return Batch(done, gone, refused)

    def _revive(self, found: Found, *, resign: bool) -> Op[bool]:
        queue, dead = found
        said = letter_of(dead.letter)
        if said is None:
            self._check(dead.call)
        elif not said.readable:
            raise CallUnreadable(said.failure.message or "its call cannot be read")
        history = History() if said is None else said.history.afresh()
        call = self._checked(queue, dead, resign=resign)
        return manage.revive(queue, dead.job_id, dead.entry, history.encode(), call)

    def _checked(self, queue: str, dead: DeadEntry, *, resign: bool) -> bytes:
        """Return the call signed anew; nothing if it stays as it is, and workers will take it."""
        if self._signer is None:
            return b""
        if resign:
            return self._signer.sign(queue, dead.job_id, inner(dead.call))
        with suppress(CallTooNew):  # a worker may have the key that is not here
            self._signer.open(queue, dead.job_id.encode(), dead.call)
        return b""

    def _check(self, blob: bytes) -> None:
        with suppress(CallTooNew):  # a worker may know what this program does not
            self._codec.decode_call(inner(blob))
