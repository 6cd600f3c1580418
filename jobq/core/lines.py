"""Lines: the streams of a queue, one for each priority, as they are called inside of jobq.

A line is named by its queue where the priority is normal, else by the queue, a space and the
priority, such as ``mail high``: no queue can have a space in its name. Users never see one.
"""

from typing import Final, Literal

Priority = Literal["high", "normal", "low"]

HIGH: Final = "high"
NORMAL: Final = "normal"
LOW: Final = "low"

#: All priorities, in the order in which their jobs start.
PRIORITIES: Final[tuple[Priority, ...]] = (HIGH, NORMAL, LOW)

#: What stands before an entry of each line in the index.
LETTERS: Final = {HIGH: "h", NORMAL: "j", LOW: "l"}

#: What stands there before an entry of the retries, which the lines of a queue share.
RETRIED: Final = "r"

_PRIORITIES: Final = {letter: priority for priority, letter in LETTERS.items()}


def line_of(queue: str, priority: Priority = NORMAL) -> str:
    """Return the line of a queue for a priority."""
    return queue if priority == NORMAL else f"{queue} {priority}"


def queue_of(line: str) -> str:
    """Return the queue of a line."""
    return line.partition(" ")[0]


def letter_of(line: str) -> str:
    """Return what stands before an entry of a line in the index."""
    return LETTERS[line.partition(" ")[2] or NORMAL]


def line_at(queue: str, letter: str) -> str:
    """Return the line that a letter stands for; for `RETRIED` the queue itself."""
    priority = _PRIORITIES.get(letter, NORMAL)
    return queue if priority == NORMAL else f"{queue} {priority}"


def lines_of(queue: str) -> tuple[str, ...]:
    """Return all lines of a queue, in the order in which their jobs start."""
    return tuple(line_of(queue, priority) for priority in PRIORITIES)
