"""What people see: tables, times, a little colour, and nothing that a terminal would obey."""

import os
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Final
from unicodedata import category, combining, east_asian_width

import click

from jobq.core.duration import show

#: Spaces between two columns.
GAP: Final = 2
#: The narrowest a column is cut to, in characters.
NARROW: Final = 8

#: What ``--color`` takes.
WHEN: Final = ("auto", "always", "never")
#: What it said; ``auto`` where it was not given.
wanted: Final[ContextVar[str]] = ContextVar("jobq_color", default="auto")

_STYLES: Final = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}
#: Escape sequences: CSI, then strings (OSC, DCS, SOS, PM, APC) up to their end, then two-byte ones;
#: ECMA-48, with the one-byte forms of C1.
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*+[0-~]"
)
#: Invisible characters that reorder or hide text: control (Cc), format (Cf: bidi overrides and
#: isolates, zero width), surrogates, line and paragraph separators.
_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))


def clean(text: str, *, lines: bool = False) -> str:
    """Return text without escape sequences, control, bidi and invisible characters.

    Args:
        text: whatever Redis or an exception says.
        lines: keep the ends of lines; otherwise they become spaces.
    """
    text = _ESCAPES.sub("", text.expandtabs(4) if "\t" in text else text)
    if text.isascii() and text.isprintable():
        return text
    if not lines:
        text = " ".join(text.splitlines())
    return "".join(
        char for char in text if (lines and char == "\n") or category(char) not in _HIDDEN
    )


def refused() -> bool:
    """Tell whether colours are not wanted, whatever this is written to.

    ``--color`` says so, else NO_COLOR if it is not empty.
    """
    said = wanted.get()
    return said == "never" or (said == "auto" and bool(os.environ.get("NO_COLOR")))


def coloured(*, err: bool = False) -> bool:
    """Tell whether to colour: if ``--color`` or FORCE_COLOR say so, else on a terminal.

    See `refused` for what is against it; FORCE_COLOR says nothing when it is empty or 0.
    """
    if refused():
        return False
    if wanted.get() == "always" or os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: str, *, err: bool = False) -> str:
    """Return text in a style of `_STYLES`, where colours are wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if coloured(err=err) else text


def say(text: str = "", *, err: bool = False) -> None:
    """Write a line; its colours stay as `paint` decided."""
    click.echo(text, err=err, color=True)


def columns() -> int:
    """Return how wide the terminal is (COLUMNS, else what it says, else 80)."""
    return get_terminal_size().columns


def width(text: str) -> int:
    """Count the cells that text takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def cut(text: str, cells: int) -> str:
    """Return text that takes at most so many cells; an ellipsis says where it was cut."""
    if width(text) <= cells:
        return text
    kept = ""
    for char in text[:cells]:
        if width(kept + char) >= cells:
            break
        kept += char
    return kept + "…"


def fits(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, cuttable: Sequence[str] = ()
) -> bool:
    """Tell whether `table` can write this as narrow as the terminal is."""
    widths = [
        max(width(clean(cell)) for cell in column) for column in zip(heads, *rows, strict=True)
    ]
    for name in cuttable:
        at = heads.index(name)
        widths[at] = min(widths[at], max(NARROW, width(name)))
    return sum(widths) + GAP * (len(heads) - 1) <= columns()


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    cuttable: Sequence[str] = (),
) -> None:
    """Write rows under their heads, as wide as the terminal where it goes to one.

    Args:
        heads: the names of the columns.
        rows: their cells; cleaned here.
        right: the columns of numbers.
        cuttable: the columns that may be cut; the widest of them is cut first.
    """
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(heads, *cells, strict=True)]
    least = {heads.index(name): max(NARROW, width(name)) for name in cuttable}
    for _ in range(sum(widths) + GAP * (len(heads) - 1) - columns()):
        widest = max(least, key=lambda at: widths[at] - least[at], default=None)
        if widest is None or widths[widest] <= least[widest]:
            break
        widths[widest] -= 1
    for number, row in enumerate([list(heads), *cells]):
        parts = []
        for name, cell, most in zip(heads, row, widths, strict=True):
            text = cut(cell, most)
            space = " " * (most - width(text))
            parts.append(space + text if name in right else text + space)
        line = (" " * GAP).join(parts).rstrip()
        say(paint(line, "bold") if number == 0 else line)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Write names and values, one a line; what has no value is left out."""
    shown = [(name, value) for name, value in pairs if value]
    most = max((width(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{paint(name.ljust(most), 'bold')}  {clean(value)}")


def ago(moment: datetime | None, now: datetime) -> str:
    """Write a moment as people say it: ``3 m ago``, ``in 5 s``; empty for none."""
    if moment is None:
        return ""
    passed = (now - moment).total_seconds()
    if abs(passed) < 1:
        return "now"
    largest = show(abs(passed)).split(" ")[:2]
    text = f"{largest[0].partition('.')[0]} {largest[1]}"
    return f"{text} ago" if passed > 0 else f"in {text}"


def utc(moment: datetime | None) -> str:
    """Write a moment in UTC; empty for none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
