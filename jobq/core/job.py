"""What a job is: a call, and the states that it walks through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is.

    ``delayed → ready → running → succeeded | retrying → running … | dead | cancelled | expired``
    """

    DELAYED = "delayed"
    READY = "ready"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a job function, before it is bytes.

    Attributes:
        id: the id of the job; it stands beside the bytes, not in them.
        name: the name of the job function.
        queue: where it waits.
        args: positional arguments.
        kwargs: keyword arguments.
        headers: the options of this one call that travel; see `jobq.core.options`.
    """

    id: str
    name: str
    queue: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, object] = field(default_factory=dict)
