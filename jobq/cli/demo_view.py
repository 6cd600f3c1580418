"""How the demo looks: one screen that is drawn again and again, or plain lines."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TextIO

from jobq.cli.demo_stage import Progress
from jobq.cli.output import clean, columns, cut, refused

#: Columns and lines of the smallest terminal with a screen; in smaller ones there are lines.
SMALLEST: Final = os.terminal_size((60, 18))
#: What is assumed of a terminal that does not tell.
USUAL: Final = os.terminal_size((80, 24))
#: The longest bar, in cells.
LONGEST_BAR: Final = 40
#: Seconds between two plain lines that tell how far the jobs are.
LINE_EVERY: Final = 1.0

_STYLES: Final = {
    "bold": "1",
    "dim": "2",
    "done": "32",
    "retrying": "33",
    "dead": "31",
    "running": "36",
}


class Marks(NamedTuple):
    """What bars are made of."""

    done: str
    dead: str
    retrying: str
    running: str
    rest: str


_BLOCKS: Final = Marks("█", "█", "▒", "▓", "░")
_ASCII: Final = Marks("#", "x", "~", "=", ".")


@dataclass(slots=True)
class Scene:
    """What is to be seen.

    Attributes:
        title: the first line.
        seconds: since the start.
        progress: of each kind.
        events: what happened, and when.
    """

    title: str
    seconds: float = 0.0
    progress: Sequence[Progress] = ()
    events: list[tuple[float, str]] = field(default_factory=list)

    def happened(self, seconds: float, text: str) -> None:
        """Add an event."""
        self.events.append((seconds, text))


class View(Protocol):
    """What shows a scene."""

    @property
    def colours(self) -> bool:
        """Whether it uses them."""

    @property
    def width(self) -> int:
        """The columns that a line may have."""

    def show(self, scene: Scene, *, last: bool = False) -> None:
        """Show how things are now."""

    def close(self) -> None:
        """Leave the terminal as it was met."""

    def say(self, text: str) -> None:
        """Write lines below."""


def view_of(stream: TextIO) -> View:
    """Return the view that suits a stream."""
    plain = not stream.isatty() or os.environ.get("TERM", "dumb") in {"", "dumb"}
    plain = plain or refused()
    plain = plain or os.environ.get("CI", "").lower() not in {"", "0", "false"}
    size = _size(stream)
    small = size.columns < SMALLEST.columns or size.lines < SMALLEST.lines
    return Lines(stream) if plain or small else Screen(stream)


class Screen:
    """A screen that is drawn over itself.

    Each picture is one write, line over line, so that nothing flickers. It stays below what the
    terminal showed before.
    """

    colours = True

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._size = _size(stream)
        self._height = 0
        self._opened = False
        self._marks = _BLOCKS if _can(stream, "".join(_BLOCKS)) else _ASCII

    @property
    def width(self) -> int:
        """The columns that a line may have; the last one stays free, where cursors are odd."""
        return self._size.columns - 1

    def show(self, scene: Scene, *, last: bool = False) -> None:
        """Draw it over the one before."""
        size = _size(self._stream)
        if not self._opened:
            start, self._opened = "\x1b[?25l", True  # hide the cursor
        elif size != self._size:
            start = "\x1b[H\x1b[2J"  # lines that were wrapped cannot be found again
        else:
            start = f"\r\x1b[{self._height}A"
        self._size = size
        lines = picture(scene, self.width, self._marks, last=last)
        self._height = len(lines)
        self._write(start + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")

    def close(self) -> None:
        """Show the cursor again."""
        if self._opened:
            self._opened = False
            self._write("\x1b[0m\x1b[?25h")

    def say(self, text: str) -> None:
        """Write lines below the picture."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Lines:
    """Plain lines without escape codes: for pipes, logs and small terminals."""

    colours = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said = 0
        self._titled = False
        self._next = LINE_EVERY
        self._last_line = ""

    @property
    def width(self) -> int:
        """The columns that a line may have."""
        return _size(self._stream).columns - 1 if self._stream.isatty() else columns()

    def show(self, scene: Scene, *, last: bool = False) -> None:
        """Write what has happened since the last time, and now and then how far the jobs are."""
        if not self._titled:
            self._titled = True
            self._line(scene.title)
        for seconds, text in scene.events[self._said :]:
            self._line(f"{_time(seconds)}  {text}")
        self._said = len(scene.events)
        if last or scene.seconds >= self._next:
            self._next = scene.seconds + LINE_EVERY
            line = numbers(scene.progress)
            if line != self._last_line:
                self._last_line = line
                self._line(f"{_time(scene.seconds)}  {line}")

    def close(self) -> None:
        """Do nothing: there is nothing to undo."""

    def say(self, text: str) -> None:
        """Write lines."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _line(self, text: str) -> None:
        text = clean(text)
        self.say(cut(text, self.width) if self._stream.isatty() else text)


def paint(text: str, style: str, *, colours: bool) -> str:
    """Return text in a style, where colours are wanted."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if text and colours else text


def picture(scene: Scene, width: int, marks: Marks, *, last: bool) -> list[str]:
    """Return the lines of a screen, none wider than the width.

    Args:
        marks: what its bars are made of.
        last: the clock no longer runs.
    """
    space = "  "
    what_width = max(len(one.kind.what) for one in scene.progress)
    fixed = len(space) * 6 + 8 + 7 + 8 + 4
    bar_width = min(LONGEST_BAR, width - fixed - what_width)
    if bar_width < 10:
        what_width = 0
        bar_width = min(LONGEST_BAR, width - fixed)
    head = space.join(
        (
            "",
            f"{'KIND':8}",
            f"{'ITS JOBS':{what_width}}"[:what_width],
            " " * bar_width,
            f"{'DONE':>7}",
            "RETRYING",
            "DEAD",
        )
    )
    lines = [paint(cut(clean(scene.title), width), "bold", colours=True), "", _dim(head)]
    for one in scene.progress:
        cells = (
            "",
            f"{one.kind.name:8}",
            _dim(f"{one.kind.what:{what_width}}"[:what_width]),
            bar(one, bar_width, marks),
            f"{f'{one.done}/{one.kind.jobs}':>7}",
            _number(one.retrying, 8, "retrying"),
            _number(one.dead, 4, "dead"),
        )
        lines.append(space.join(cells))
    lines.append("")
    lines += [cut(f"{_time(at)}  {clean(text)}", width) for at, text in scene.events]
    if not last:
        lines.append(_dim(_time(scene.seconds)))
    return lines


def bar(progress: Progress, cells: int, marks: Marks) -> str:
    """Return how far the jobs of a kind are, as a bar in colours."""
    counts = {
        "done": progress.done,
        "dead": progress.dead,
        "retrying": progress.retrying,
        "running": progress.running,
    }
    text, seen, start = "", 0, 0
    for name, count in counts.items():
        seen += count
        end = min(cells, round(seen * cells / progress.kind.jobs))
        text += paint(getattr(marks, name) * (end - start), name, colours=True)
        start = max(start, end)
    return text + _dim(marks.rest * (cells - start))


def numbers(progress: Sequence[Progress]) -> str:
    """Return how far the jobs of all kinds are, as one line."""
    done = ", ".join(f"{one.done} {one.kind.name}" for one in progress if not one.kind.dies)
    retrying, dead = sum(one.retrying for one in progress), sum(one.dead for one in progress)
    return f"done: {done}; {retrying} retrying; {dead} dead"


def _number(value: int, width: int, style: str) -> str:
    text = f"{value:>{width}}"
    return paint(text, style, colours=True) if value else _dim(text)


def _dim(text: str) -> str:
    return paint(text, "dim", colours=True)


def _time(seconds: float) -> str:
    return f"{seconds:6.1f} s"


def _size(stream: TextIO) -> os.terminal_size:
    try:
        found = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return USUAL
    return found if found.columns and found.lines else USUAL


def _can(stream: TextIO, text: str) -> bool:
    """Tell whether a stream can write some text."""
    try:
        text.encode(stream.encoding or sys.getdefaultencoding())
    except (LookupError, UnicodeEncodeError):
        return False
    return True
