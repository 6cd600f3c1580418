"""What a doctor thinks of the workers in the register."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobq.core.doctor.finding import Finding, count, some

#: Seconds that a live worker is silent at most.
SILENT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Member:
    """A worker: its name, the release of jobq that it runs, and seconds since it was heard of."""

    name: str
    version: str
    silent: float

    @property
    def lives(self) -> bool:
        """Whether it counts as alive."""
        return self.silent < SILENT


def examine(workers: Sequence[Member]) -> Iterator[Finding]:
    """Go through the workers."""
    live = [one for one in workers if one.lives]
    lost = sorted(one.name for one in workers if not one.lives)
    if lost:
        what = f"silent, so lost with their host or cut off: {some(lost)}"
        yield Finding(
            "workers", "warning", what, "look at their hosts; others take over their jobs"
        )
    versions = sorted({one.version for one in live if one.version})
    if len(versions) > 1:
        what = f"live workers run different releases of jobq: {some(versions)}"
        yield Finding("workers", "warning", what, "finish the deploy")
    elif live or not lost:
        yield Finding("workers", "ok", f"{count(len(live), 'live worker')}")
