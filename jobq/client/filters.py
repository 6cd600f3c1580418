"""Which dead letters are meant: what the options of `jobq dlq` say, as a value; pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from jobq.errors import OptionError

#: Letters that are read to find those that are meant, where no index tells: a fifth of a second.
SCAN: Final = 5_000

#: What stands for the letters that have no fingerprint: written by jobq before it had them.
NO_GROUP: Final = "-"

_ATTEMPTS: Final = re.compile(r"\s*(<=|>=|==|!=|<|>|=|)\s*([0-9]{1,9})\s*", re.ASCII)
_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "": eq,
    "=": eq,
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a job was started, compared with a number.

    Attributes:
        sign: ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        number: of attempts.
    """

    sign: str
    number: int

    @staticmethod
    def parse(text: str) -> "Attempts":
        """Read ``>3``, ``<=1``, or ``4`` for exactly four.

        Raises:
            OptionError: it is nothing of that kind.
        """
        found = _ATTEMPTS.fullmatch(text)
        if found is None:
            raise OptionError(f"{text[:40]!r} compares no number; use '>3', '<=1' or 4")
        return Attempts(found[1] or "=", int(found[2]))

    def fits(self, attempts: int) -> bool:
        """Tell whether a number of attempts is one of those."""
        return _COMPARE[self.sign](attempts, self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters; nothing given means all of them.

    Attributes:
        queue: those of this queue.
        job: those of this job function; ``*`` and ``?`` stand for any characters.
        error: those whose last exception has this name, with or without its module; also with
            ``*`` and ``?``.
        message: those whose exception said something with this text in it, whatever its case.
        since: those that failed at that moment or later, or so long ago.
        until: those that failed before that moment, or so long ago.
        attempts: those that were started so often.
        group: those of this group of failures alike, by its fingerprint; `NO_GROUP`: those that
            have none; `jobq.core.fingerprint.OTHERS`: those beyond the groups that are told apart.
        scan: how many letters may be read to find them; None: all there are.
    """

    queue: str | None = None
    job: str | None = None
    error: str | None = None
    message: str | None = None
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    attempts: Attempts | None = None
    group: str | None = None
    scan: int | None = SCAN

    @property
    def is_empty(self) -> bool:
        """Whether it means all dead letters, of one queue or of all."""
        return not (self.names_groups or self.reads_letters or self.since or self.until)

    @property
    def names_groups(self) -> bool:
        """Whether the groups of failures tell which letters may be meant."""
        return any(one is not None for one in (self.job, self.error, self.group))

    @property
    def reads_letters(self) -> bool:
        """Whether only the letters themselves tell which of them are meant."""
        return self.message is not None or self.attempts is not None

    @property
    def has_ages(self) -> bool:
        """Whether it says how long ago, and so depends on when it is asked."""
        return isinstance(self.since, timedelta) or isinstance(self.until, timedelta)

    def fits_names(self, job: str, error: str) -> bool:
        """Tell whether letters of that job function, that died of that exception, are meant."""
        if self.job is not None and not fnmatchcase(job, self.job):
            return False
        if self.error is None:
            return True
        bare = error.rpartition(".")[2]
        return fnmatchcase(error, self.error) or fnmatchcase(bare, self.error)

    def fits_message(self, message: str) -> bool:
        """Tell whether an exception that said this is meant."""
        return self.message is None or self.message.casefold() in message.casefold()

    def at(self, now: datetime) -> "Filter":
        """Return the filter with moments in the place of ages.

        Args:
            now: Redis time.
        """
        return replace(self, since=_moment(self.since, now), until=_moment(self.until, now))

    def fits_times(self, first: datetime, last: datetime) -> bool:
        """Tell whether something between two moments can be meant; ages must be moments by now."""
        since, until = self.since, self.until
        if isinstance(since, datetime) and last < since:
            return False
        return not isinstance(until, datetime) or first < until


#: All dead letters, of all queues, however many there are.
EVERY_LETTER: Final = Filter(scan=None)


def _moment(value: datetime | timedelta | None, now: datetime) -> datetime | None:
    if not isinstance(value, timedelta):
        return value
    try:
        return now - value
    except OverflowError:  # longer ago than there are years
        return datetime.min.replace(tzinfo=UTC)
