"""Ops for the hooks: which dead letters they have not heard of."""

from dataclasses import dataclass
from typing import Any

from jobq.store import keys
from jobq.store.ops.inspect import DeadEntry, dead_entries
from jobq.store.wire import Op, Script, call, text

_HEAR = Script("hear")
_HEARD = Script("heard")


@dataclass(frozen=True, slots=True)
class Unheard:
    """A dead letter that hooks have not heard of, taken so that nobody else tells them.

    Attributes:
        job_id: of the job.
        until_ms: until when it is taken, Redis time in ms.
        dead: the letter; None: it was retried or removed meanwhile.
    """

    job_id: str
    until_ms: int
    dead: DeadEntry | None


def hear(queue: str, job_id: str = "", *, ms: int) -> Op[Unheard | None]:
    """Take a dead letter that hooks have not heard of; None: there is none.

    Args:
        job_id: of that job; empty: of any.
        ms: how long it is taken for.
    """
    every = (keys.unheard(queue), keys.index(queue), keys.dead(queue))
    return call(_HEAR, every, (job_id, ms), _unheard)


def heard(queue: str, taken: Unheard) -> Op[bool]:
    """Note that the hooks have heard of it; False when others have taken it meanwhile."""
    return call(_HEARD, (keys.unheard(queue),), (taken.job_id, taken.until_ms), bool)


def _unheard(reply: Any) -> Unheard | None:
    if reply is None:
        return None
    job_id, until_ms, *found = reply
    dead = dead_entries([found]) if found and found[1] else []
    return Unheard(text(job_id), until_ms, dead[0] if dead else None)
