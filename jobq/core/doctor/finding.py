"""What a doctor finds: one line, how bad it is, and what to do about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "bad"]

#: From the best to the worst.
LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "bad")

#: Names that one line lists at most.
MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a doctor.

    Attributes:
        check: what was looked at, one word or two; docs/guide/doctor.md lists them.
        level: ok, warning or bad.
        what: what was found, in a sentence.
        fix: what to do about it; empty: nothing.
        queue: the queue that it is about; empty: none.
    """

    check: str
    level: Level
    what: str
    fix: str = ""
    queue: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level of some findings."""
    return LEVELS[max((LEVELS.index(one.level) for one in findings), default=0)]


def unasked(check: str, why: str) -> Finding:
    """Return what is said where Redis did not answer.

    Args:
        why: what it said instead.
    """
    return Finding(check, "ok", f"not known: {why}")


def some(names: Iterable[str]) -> str:
    """Return a few names for a sentence."""
    every = list(names)
    shown = ", ".join(one[:80] for one in every[:MOST_NAMED])
    left = len(every) - MOST_NAMED
    return f"{shown} and {left:,} more" if left > 0 else shown


def number(said: Mapping[str, str], name: str) -> int:
    """Return a number of INFO or CONFIG; 0 where there is none."""
    text = said.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def count(many: int, one: str) -> str:
    """Return ``1 job``, ``2 jobs``."""
    return f"{many:,} {one}" if many == 1 else f"{many:,} {one}s"
