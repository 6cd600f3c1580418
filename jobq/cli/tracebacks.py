"""Tracebacks as people read them: their own frames stand out from those of libraries."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePath
from typing import Final

from jobq.cli.output import clean, paint, say

_FRAME: Final = re.compile(r'^[ |+\-]*File "([^"\n]*)", line [0-9]+, in ')
#: Directories of what was installed, and of Python itself.
_INSTALLED: Final = frozenset(("site-packages", "dist-packages"))
_PYTHON: Final = re.compile(r"python[0-9.]*t?")


def show_traceback(text: str, indent: str = "  ") -> None:
    """Write a traceback: ``>`` stands before the user's frames, those of libraries are dim."""
    for line, whose in by_owner(text):
        shown = clean(line)
        if whose == LIBRARY:
            say(paint(f"{indent}  {shown}", "dim"))
        else:
            say(f"{indent}{'> ' if whose == OWN else '  '}{shown}".rstrip())


OWN: Final = "own"
LIBRARY: Final = "library"
NOBODY: Final = ""


def by_owner(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a traceback, and whose frame each belongs to.

    Returns:
        Each line with `OWN`, `LIBRARY`, or `NOBODY` for what stands in no frame.
    """
    whose, depth = NOBODY, 0
    for line in text.splitlines():
        found = _FRAME.match(line)
        inset = len(line) - len(line.lstrip(" |+-"))
        if found is not None:
            whose, depth = LIBRARY if is_library(found[1]) else OWN, inset
        elif inset <= depth:
            whose = NOBODY
        yield line, whose


def is_library(path: str) -> bool:
    """Tell whether a file belongs to Python or to something that was installed."""
    if path.startswith("<"):
        return True
    parts = PurePath(path.replace("\\", "/")).parts
    if not _INSTALLED.isdisjoint(parts):
        return True
    # …/lib/python3.13/json/decoder.py, C:/Python313/Lib/json/decoder.py
    return any(
        (before == "lib" and _PYTHON.fullmatch(after)) or (after == "Lib")
        for before, after in pairwise(parts)
    )
