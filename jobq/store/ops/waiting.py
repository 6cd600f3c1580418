"""The op that lists what waits, for tests: it walks through a whole queue in one step."""

from typing import Any, NamedTuple

from jobq.core.lines import HIGH, LETTERS, LOW, NORMAL, PRIORITIES, Priority, line_of
from jobq.store import keys
from jobq.store.keys import GROUP, PARKED
from jobq.store.wire import Op, Script, call, text

_WAITING = Script("waiting")


class Waiting(NamedTuple):
    """A job that waits for its first start.

    Attributes:
        job_id: its id.
        priority: within its queue.
        call: its call, encoded.
        due_ms: when it is due, Redis time in ms; None: it was not delayed.
    """

    job_id: str
    priority: Priority
    call: bytes
    due_ms: int | None


def waiting(queue: str) -> Op[list[Waiting]]:
    """List the jobs of a queue that wait for their first start."""
    every = (
        keys.jobs(queue),
        keys.jobs(line_of(queue, HIGH)),
        keys.jobs(line_of(queue, LOW)),
        keys.retries(queue),
        keys.due(queue),
        keys.delayed(queue),
        keys.index(queue),
    )
    return call(_WAITING, every, (GROUP, PARKED), _waiting)


def _waiting(reply: Any) -> list[Waiting]:
    by_letter = {LETTERS[priority]: priority for priority in PRIORITIES}
    return [
        Waiting(
            text(job_id),
            by_letter.get(text(letter), NORMAL),
            blob,
            None if int(due) < 0 else int(due),
        )
        for job_id, letter, blob, due in reply
    ]


def is_used(line: str) -> Op[bool]:
    """Ask whether a line has ever had a job."""
    return Op(("EXISTS", keys.jobs(line)), bool)


def flush() -> Op[str]:
    """Remove everything from the server: for one that belongs to tests alone."""
    return Op(("FLUSHALL",), text)
