"""Ops over dead letters: listed by time or by what they died of, changed, taken in."""

import re
from dataclasses import dataclass
from typing import Any

from jobq.core.fingerprint import MOST_GROUPS, Group
from jobq.core.numbers import whole
from jobq.store import keys
from jobq.store.ops.inspect import DeadEntry, dead_entries
from jobq.store.wire import Op, Script, call, pairs, text

#: What stands for an entry in the index of groups, see groups.lua.
_NAME = re.compile(r"[^ ]+ ([0-9]{15})-([0-9]{6,18})")

_ALIKE = Script("alike")
_LETTERS = Script("letters")
_EDIT = Script("edit", "groups")
_IMPORT = Script("import", "groups")


@dataclass(frozen=True, slots=True)
class Alike:
    """A group of dead letters as Redis has it.

    Attributes:
        group: what they have in common.
        count: how many there are.
        first_ms: when the first of them failed since there is the group; ms since 1970.
        last_ms: when the last one did.
    """

    group: Group
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of dead letters of a queue.

    Attributes:
        dead: how many dead letters there are.
        grouped: how many of them stand in groups.
        redated: how many failed before they came to their entry: they were edited, or imported.
        oldest: the entry of the oldest dead letter; empty: there is none.
        every: the groups.
    """

    dead: int
    grouped: int
    redated: int
    oldest: str
    every: tuple[Alike, ...]


def page(queue: str, newest: str, oldest: str, limit: int) -> Op[list[DeadEntry]]:
    """List dead letters between two entries, the newest first.

    Args:
        newest: ``+``, an entry, or ``(`` and an entry: without that one. Where nothing is as old
            as that, Redis walks through all there are before it says so.
        oldest: ``-``, an entry, or a time in ms.
        limit: how many at most.
    """
    return call(_LETTERS, (keys.dead(queue),), (newest, oldest, limit), dead_entries)


def size(queue: str) -> Op[int]:
    """Count the dead letters of a queue."""
    return Op(("XLEN", keys.dead(queue)), int)


def alike(queue: str) -> Op[Groups]:
    """Look at the groups of a queue, a thousand at most; what is no group is left out."""
    every = (keys.dead(queue), keys.groups(queue), keys.grouped(queue), keys.redated(queue))
    return call(_ALIKE, every, (), _groups)


def entries(queue: str, fingerprint: str, newest: str, oldest: str, limit: int) -> Op[list[str]]:
    """List the entries of a group, the newest first.

    Args:
        fingerprint: of the group.
        newest: empty, an entry, or ``(`` and an entry: without that one.
        oldest: empty, or an entry.
        limit: how many at most.
    """
    most, least = _bounds(fingerprint, newest, oldest)
    words = ("ZREVRANGEBYLEX", keys.grouped(queue), most, least, "LIMIT", 0, limit)
    return Op(words, _entries)


def count(queue: str, fingerprint: str, newest: str, oldest: str) -> Op[int]:
    """Count the entries of a group. See `entries`."""
    most, least = _bounds(fingerprint, newest, oldest)
    return Op(("ZLEXCOUNT", keys.grouped(queue), least, most), int)


def edit(queue: str, job_id: str, entry: str, blob: bytes) -> Op[bool]:
    """Give a dead letter another call, encoded; False when it is not there."""
    every = (
        keys.dead(queue),
        keys.index(queue),
        keys.groups(queue),
        keys.grouped(queue),
        keys.redated(queue),
    )
    return call(_EDIT, every, (job_id, entry, blob), bool)


def take_in(queue: str, dead: DeadEntry, group: Group) -> Op[bool]:
    """Take in a dead letter from elsewhere; False: there is such a job, or its result is kept.

    Args:
        dead: the letter; its entry and group do not count.
        group: those that it is like.
    """
    every = (
        keys.dead(queue),
        keys.index(queue),
        keys.result(queue, dead.job_id),
        keys.groups(queue),
        keys.grouped(queue),
        keys.redated(queue),
    )
    args = (dead.job_id, dead.call, dead.letter, dead.line or "j", dead.failed_ms)
    alike = (group.fingerprint, group.encode(), MOST_GROUPS)
    return call(_IMPORT, every, (*args, *alike), bool)


def _bounds(fingerprint: str, newest: str, oldest: str) -> tuple[str, str]:
    # Members are the fingerprint, a space, and the entry with leading zeros; "!" follows the space.
    without = newest.startswith("(")
    most = f"({fingerprint}!"
    if newest:
        most = f"{'(' if without else '['}{_member(fingerprint, newest.removeprefix('('))}"
    return most, f"[{_member(fingerprint, oldest)}" if oldest else f"[{fingerprint} "


def _member(fingerprint: str, entry: str) -> str:
    """Return the name of an entry in the index of groups, as groups.lua makes it."""
    ms, _, number = entry.partition("-")
    return f"{fingerprint} {ms:0>15}-{number or '0':0>6}"


def _entries(reply: Any) -> list[str]:
    """Return the entries in names; what is no name is left out."""
    found = [_NAME.fullmatch(text(member)) for member in reply]
    return [f"{int(one[1])}-{int(one[2])}" for one in found if one is not None]


def _groups(reply: Any) -> Groups:
    dead, grouped, redated, oldest, rows = reply
    found = []
    for fingerprint, value in pairs(rows).items():
        parts = value.split(b" ", 3)
        numbers = [whole(one) for one in parts[:3]]
        if len(parts) == 4 and all(one is not None for one in numbers):
            number, first, last = (one or 0 for one in numbers)
            found.append(Alike(Group.decode(fingerprint, parts[3]), number, first, last))
    return Groups(dead, grouped, redated, text(oldest), tuple(found))
