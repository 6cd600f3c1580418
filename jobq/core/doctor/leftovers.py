"""What a doctor thinks of keys that nobody looks after."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from jobq.core.doctor.finding import Finding, count, some


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a walk through the keys of jobq met.

    Attributes:
        seen: how many of its keys.
        whole: the walk came to its end.
        strange: of no kind that this release knows.
        unlisted: queues that have keys, and are not in the register of queues.
        mistyped: keys of another type than theirs.
        endless: keys that should have a TTL, and have none.
        unusable: names in the register that no queue can have.
    """

    seen: int
    whole: bool
    strange: Sequence[str] = ()
    unlisted: Collection[str] = ()
    mistyped: Sequence[str] = ()
    endless: Sequence[str] = ()
    unusable: Sequence[str] = ()


def examine(keys: Keys) -> Iterator[Finding]:
    """Go through what the walk met; one line where all is well."""
    found = list(_faults(keys))
    yield from found
    if not found:
        limit = "" if keys.whole else "; there are more, --scan looks at more"
        yield Finding("keys", "ok", f"{count(keys.seen, 'key')} looked at{limit}")


def _faults(keys: Keys) -> Iterator[Finding]:
    if keys.mistyped:
        what = f"of another type than jobq gives them: {some(keys.mistyped)}"
        fix = "somebody else writes there: give jobq a database of its own"
        yield Finding("keys", "bad", what, fix)
    if keys.unlisted:
        what = f"queues with keys that are not in the register: {some(sorted(keys.unlisted))}"
        fix = "enqueue a job there, which registers it, or delete the keys"
        yield Finding("keys", "warning", what, fix)
    if keys.endless:
        what = f"{count(len(keys.endless), 'key')} without a TTL that should have one: "
        what += some(keys.endless)
        yield Finding("keys", "warning", what, "EXPIRE them, or delete them")
    if keys.strange:
        what = f"{count(len(keys.strange), 'key')} of a kind that this release does not know: "
        what += some(keys.strange)
        yield Finding("keys", "warning", what, "upgrade jobq here, or delete them")
    if keys.unusable:
        what = f"names in the register that no queue can have: {some(keys.unusable)}"
        yield Finding("keys", "warning", what, "SREM them from the register of queues")
