"""Ops of a supervisor: groups, leases, dead consumers, the register of workers, wake-ups."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jobq.core.result import CANCELLED
from jobq.store import keys
from jobq.store.keys import GROUP, KINDS, PARKED
from jobq.store.ops.settle import CANCELLED_MS
from jobq.store.wire import AnyOp, Op, Script, call, nothing, pairs, text

_REGROUP = Script("regroup")
_RENEW = Script("renew")
_FORGET = Script("forget")
_BEAT = Script("beat")
_REMIND = Script("remind")
_SWEEP_UNIQUE = Script("sweep_unique")
_REMIND_DELAYED = Script("remind_delayed")
_NOW = Script("now")


class Consumer(NamedTuple):
    """A consumer of a stream: its name, how much is pending for it, ms since it was heard of."""

    name: str
    pending: int
    idle: int


def regroup(queue: str) -> Op[int]:
    """Make the consumer groups of a queue where they are missing; the same again is harmless.

    A line but the normal one gets one only if it has ever had a job.
    """
    every = (
        keys.jobs(queue),
        keys.retries(queue),
        keys.due(queue),
        keys.index(queue),
        keys.history(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, ""),
        *keys.other_jobs(queue),
    )
    return call(_REGROUP, every, (GROUP, PARKED, CANCELLED_MS, CANCELLED, KINDS), int)


def renew(stream: str, consumer: str, entries: Sequence[str]) -> Op[list[str]]:
    """Renew the leases of these entries; the answer is those that the consumer no longer owns."""
    return call(_RENEW, (stream,), (GROUP, consumer, *entries), _texts)


def consumers(stream: str) -> Op[list[Consumer]]:
    """List the consumers of a stream."""
    return Op(("XINFO", "CONSUMERS", stream, GROUP), _consumers)


def forget(stream: str, consumer: str) -> Op[bool]:
    """Delete a consumer that has nothing pending."""
    return call(_FORGET, (stream,), (GROUP, consumer), bool)


def timed(queue: str) -> list[AnyOp]:
    """Count what has a time at which it becomes due, and then the delayed jobs that must have one.

    All that has a time and is no delayed job is a parked retry.
    """
    return [Op(("ZCARD", keys.due(queue)), int), Op(("HLEN", keys.delayed(queue)), int)]


def remind(queue: str, after: str = "-", count: int = 100) -> Op[tuple[str, int]]:
    """Let parked retries become due now that have no time any more, page by page.

    Args:
        after: ``-``, or ``(`` and the last entry of the page before.

    Returns:
        The op; its answer is the last entry of the page (empty at the end), and how many it met.
    """
    every = (keys.retries(queue), keys.due(queue))
    return call(_REMIND, every, (GROUP, PARKED, after, count, KINDS), _reminded)


def remind_delayed(queue: str, after: str = "0", count: int = 100) -> Op[tuple[str, int]]:
    """Let delayed jobs become due now that have no time any more, page by page.

    Args:
        after: ``0``, or the cursor of the page before.

    Returns:
        The op; its answer is the cursor of the page (``0`` at the end), and how many it met.
    """
    every = (keys.delayed(queue), keys.due(queue), keys.index(queue))
    return call(_REMIND_DELAYED, every, (after, count), _reminded)


def acknowledge(stream: str, entry: bytes) -> Op[int]:
    """Drop an entry from the pending list that exists there only: its body was deleted."""
    return Op(("XACK", stream, GROUP, entry), int)


def has_schedules(queue: str) -> Op[bool]:
    """Tell whether a queue has schedules."""
    return Op(("EXISTS", keys.schedules(queue)), bool)


def beat(name: str, record: bytes, silent: float) -> Op[int]:
    """Say that a worker lives; the answer is Redis time in ms.

    Args:
        silent: seconds after which those who said nothing are forgotten.
    """
    return call(_BEAT, (keys.WORKERS,), (name, record, int(silent * 1000)), int)


def leave(name: str) -> Op[int]:
    """Take a worker off the register."""
    return call(_BEAT, (keys.WORKERS,), (name, "", 0), int)


def sweep_lanes(queue: str, before_ms: float) -> Op[int]:
    """Forget lanes that have called for the last time before a moment, Redis time in ms."""
    return Op(("ZREMRANGEBYSCORE", keys.lanes(queue), "-inf", int(before_ms * 1000)), int)


def sweep_unique(queue: str, cursor: str, count: int) -> Op[tuple[str, int]]:
    """Delete notes of uniqueness that say nothing any more, page by page.

    Args:
        cursor: ``0``, or what the page before answered.
        count: how many to look at, about.

    Returns:
        The op; its answer is the next cursor (``0`` at the end), and how many were deleted.
    """
    every = (keys.unique(queue), keys.index(queue))
    return call(_SWEEP_UNIQUE, every, (cursor, count), _reminded)


def time_ms() -> Op[int]:
    """Ask for Redis time in ms."""
    return call(_NOW, (), (), int)


def eviction() -> Op[str]:
    """Ask what Redis does when its memory is full: its ``maxmemory-policy``; empty: it never is."""
    return Op(("INFO", "memory"), _policy)


def client_id() -> Op[int]:
    """Ask how Redis knows this connection."""
    return Op(("CLIENT", "ID"), int)


def unblock(client: int) -> Op[None]:
    """End another connection's blocking read as if its time had passed; nothing is lost."""
    return Op(("CLIENT", "UNBLOCK", client), nothing)


def _texts(reply: Any) -> list[str]:
    return [text(one) for one in reply]


def _consumers(reply: Any) -> list[Consumer]:
    rows = [pairs(row) for row in reply]
    return [Consumer(text(row["name"]), int(row["pending"]), int(row["idle"])) for row in rows]


def _reminded(reply: Any) -> tuple[str, int]:
    return text(reply[0]), int(reply[1])


def _policy(reply: Any) -> str:
    said = dict(line.split(":", 1) for line in text(reply).splitlines() if ":" in line)
    return said.get("maxmemory_policy", "") if said.get("maxmemory", "0") != "0" else ""
