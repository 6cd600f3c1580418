"""The calls of one `map()`: taken apart, checked, and counted as they are sent."""

from collections.abc import Callable, Mapping
from typing import cast

from jobq.core.ids import make_job_id
from jobq.errors import ArgumentError

#: The arguments of one call of a `map()`: by position, or by name.
Arguments = tuple[object, ...] | Mapping[str, object]

#: An id and a call, ready to be sent.
Ready = tuple[str, bytes]


class Batch:
    """The calls of one `map()`: checked, then made into jobs chunk by chunk.

    Attributes:
        checked: the arguments of each call, and its bytes where they had to be made to be sure.
        ids: of the jobs that they became, or that they are to become.
        sent: how many chunks are in Redis.
        make_id: gives the id of the next call.
    """

    __slots__ = ("_sizes", "checked", "ids", "make_id", "sent")

    def __init__(self) -> None:
        self.checked: list[tuple[tuple[object, ...], Mapping[str, object], bytes | None]] = []
        self.ids: list[str] = []
        self.sent: int = 0
        self.make_id: Callable[[], str] = make_job_id
        self._sizes: list[int] = []

    def add(self, chunk: list[Ready]) -> list[Ready]:
        """Take note of a chunk that is about to be sent."""
        self.ids += [job_id for job_id, _ in chunk]
        self._sizes.append(len(chunk))
        return chunk

    def add_one(self, job_id: str) -> None:
        """Take note of a call that was sent alone, and of the job that it became."""
        self.ids.append(job_id)
        self._sizes.append(1)
        self.sent += 1

    def half_way(self) -> str:
        """Say how far it got."""
        done = sum(self._sizes[: self.sent])
        return f"map(): {done} of {len(self.checked)} jobs were enqueued before that"


def taken_apart(arguments: object) -> tuple[tuple[object, ...], Mapping[str, object]]:
    """Return the arguments of one call by position, and those by name.

    Raises:
        ArgumentError: it is neither a tuple nor a dict.
    """
    if isinstance(arguments, tuple):
        return cast("tuple[object, ...]", arguments), {}
    if isinstance(arguments, Mapping):
        return (), cast("Mapping[str, object]", arguments)
    raise ArgumentError(
        f"a {type(arguments).__name__}; each call is a tuple of its arguments, such as (value,), "
        "or a dict of them by name"
    )
