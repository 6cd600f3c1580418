"""Where dead letters that a filter means are looked for: the groups that can have them, or all.

Three things tell a queue's dead letters without reading them: their entries are times, the groups
know the job function and the error, and what was edited or imported is known to have failed
before. Where these decide, nothing is read but what is shown; where they do not, letters are read
one by one, and the filter's ``scan`` says how many.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from jobq.client.filters import NO_GROUP, Filter
from jobq.client.rows import moment
from jobq.core.fingerprint import OTHERS
from jobq.core.head import read_head
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.store.ops import letters
from jobq.store.ops.inspect import DeadEntry
from jobq.store.ops.letters import Groups
from jobq.store.sync import Store

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the dead letters of a queue.

    Attributes:
        queue: the queue.
        group: the fingerprint of the group; empty: all dead letters.
        newest: the entry that comes first, or ``(`` and the one before it; empty: the newest.
        oldest: the entry that comes last; empty: the oldest.
        sure: all that is in there is meant; otherwise each letter must be looked at.
        count: how many there are, where that is known.
    """

    queue: str
    group: str = ""
    newest: str = ""
    oldest: str = ""
    sure: bool = True
    count: int | None = None


def sources(store: Store, wanted: Filter, pins: Sequence[tuple[str, str]]) -> list[Source]:
    """Return where letters are to be looked for.

    Args:
        store: the Redis.
        wanted: the filter; its ages must be moments by now.
        pins: each queue with the entry that is looked at first; empty: the newest one.
    """
    if wanted.is_empty:
        return [Source(queue, newest=pin) for queue, pin in pins]
    found: list[Source] = []
    for queue, pin in pins:
        found += _of_queue(queue, pin, wanted, store.run(letters.alike(queue)))
    return found


def counts(store: Store, every: Sequence[Source]) -> list[int | None]:
    """Count what is in each source; None: that takes reading it."""
    asked = [one for one in every if one.sure and one.group and one.count is None]
    told = dict(zip(asked, _count_each(store, asked), strict=True))
    found: list[int | None] = []
    for one in every:
        if not one.sure or one.group:
            found.append(told.get(one, one.count) if one.sure else None)
        elif not (one.oldest or one.newest.startswith("(")):
            found.append(store.run(letters.size(one.queue)))
        else:
            found.append(_count_between(store, one))
    return found


def is_meant(wanted: Filter, dead: DeadEntry) -> bool:
    """Tell whether a filter means a letter; its ages must be moments by now."""
    if wanted.group is not None and wanted.group not in {OTHERS, dead.group or NO_GROUP}:
        return False
    if wanted.since is not None or wanted.until is not None:
        failed = moment(dead.failed_ms)
        if not wanted.fits_times(failed, failed):
            return False
    if not wanted.reads_letters and wanted.job is None and wanted.error is None:
        return True
    text = wanted.message
    if text is not None and text.isascii() and text.lower().encode() not in dead.letter.lower():
        return False  # without taking it apart
    unreadable = Failure("", "the dead letter cannot be read", ""), 0
    failure, attempts = Letter.brief(dead.letter) or unreadable
    if wanted.attempts is not None and not wanted.attempts.fits(attempts):
        return False
    job = "" if wanted.job is None else read_head(dead.call).name
    return wanted.fits_message(failure.message) and wanted.fits_names(job, failure.error)


def _of_queue(queue: str, pin: str, wanted: Filter, groups: Groups) -> Iterator[Source]:
    oldest = f"{_ms(wanted.since)}-0" if isinstance(wanted.since, datetime) else ""
    newest, is_dated = pin, True
    if isinstance(wanted.until, datetime):
        end = f"{_ms(wanted.until)}-0"
        is_dated = not groups.redated
        if not groups.oldest or (is_dated and position(end) <= position(groups.oldest)):
            return  # see `letters.page`: to ask would take long
        if is_dated and (not pin or position(end) <= position(pin)):
            newest = f"({end}"
    elif wanted.since is not None:
        is_dated = not groups.redated
    sure = is_dated and not wanted.reads_letters
    is_timed = bool(oldest or isinstance(wanted.until, datetime))
    if not wanted.names_groups:
        yield Source(queue, "", newest, oldest, sure)
        return
    by_names = wanted.job is not None or wanted.error is not None
    if wanted.group == NO_GROUP or (by_names and groups.grouped < groups.dead):
        yield Source(queue, "", newest, oldest, sure=False)
        return
    for one in groups.every:
        name = one.group.fingerprint
        is_others = name == OTHERS and wanted.group != OTHERS
        if is_others or (
            wanted.group in {None, name} and wanted.fits_names(one.group.job, one.group.error)
        ):
            is_sure = sure and not is_others and not (name == OTHERS and by_names)
            known = one.count if is_sure and not is_timed else None
            yield Source(queue, name, newest, oldest, is_sure, known)


def position(entry: str) -> tuple[int, int]:
    """Return where an entry stands in time: entries of streams are ``<ms>-<number>``."""
    ms, _, number = entry.partition("-")
    return int(ms), int(number)


def _ms(moment: datetime) -> int:
    """Return the first millisecond that is not before a moment."""
    return max(0, -((_EPOCH - moment) // _MS))


def _count_each(store: Store, every: Sequence[Source]) -> Iterator[int]:
    return store.run_each(
        letters.count(one.queue, one.group, one.newest, one.oldest) for one in every
    )


def _count_between(store: Store, source: Source) -> int | None:
    """Count all dead letters between two entries; the groups tell, if they have all of them."""
    groups = store.run(letters.alike(source.queue))
    if groups.grouped < groups.dead:
        return None
    each = [replace(source, group=one.group.fingerprint) for one in groups.every]
    return sum(_count_each(store, each))
