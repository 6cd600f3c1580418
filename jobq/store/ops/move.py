"""Ops over the jobs of a queue that wait: listed page by page, and moved to another queue."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jobq.core.lines import line_at, queue_of
from jobq.core.numbers import ms_of
from jobq.store import keys
from jobq.store.keys import GROUP, HELD_MS, KINDS, PARKED
from jobq.store.ops import fetch
from jobq.store.ops.fetch import DELAYED, REPLACEABLE, Held
from jobq.store.wire import Op, Script, Word, call, text

#: Jobs in one page: some hundred KiB, rarely more.
PAGE: Final = 500

#: ms that a job stays aside which is being moved: who moves it may die, and then it comes back.
ASIDE_MS: Final = 60_000

_READY = Script("ready")
_ASIDE = Script("aside")
_ATTACH = Script("attach")
_DETACH = Script("detach")

#: What `detach` can answer.
REMOVED, IS_GONE, IS_ELSEWHERE = 1, 2, 0


class Waiting(NamedTuple):
    """A job that waits.

    Attributes:
        job_id: its id.
        call: its call, encoded.
        enqueued_ms: when it was enqueued, Redis time in ms.
    """

    job_id: str
    call: bytes
    enqueued_ms: int


@dataclass(frozen=True, slots=True)
class Aside:
    """A job that was put aside, with all that is known of it.

    Attributes:
        job_id: its id.
        where: where it is now, as in the index.
        call: its call, encoded.
        letter: of its line.
        first: when it was enqueued, as an entry.
        used: attempts used so far.
        kind: its letter in ``due``; empty: it had none, and was ready.
        at_ms: when it is due, Redis time in ms.
        history: its attempts so far, encoded; empty: there were none.
        more: names and values of what else its entry had.
    """

    job_id: str
    where: str
    call: bytes
    letter: str
    first: bytes
    used: int
    kind: str
    at_ms: int
    history: bytes
    more: tuple[bytes, ...]


def ready(line: str, *, after: str = "", count: int = PAGE) -> Op[tuple[list[Waiting], str]]:
    """List the jobs of a line that no worker has taken yet, page by page.

    Args:
        after: what the page before has answered.

    Returns:
        The op; its answer is the page, and where the next one begins; empty: this was the last.
    """

    def parse(reply: Any) -> tuple[list[Waiting], str]:
        rows = [(entry, fields) for entry, fields in reply or () if fields]
        found = [_waiting(entry, fields) for entry, fields in rows]
        return found, text(reply[-1][0]) if reply and len(reply) == count else ""

    return call(_READY, (keys.jobs(line),), (GROUP, after, count), parse)


def parked(queue: str, *, after: str = "", count: int = PAGE) -> Op[tuple[list[Held], str]]:
    """List the jobs that wait in ``retries``, page by page. See `ready`."""
    op = fetch.mine(
        queue, keys.retries(queue), PARKED, after=f"({after}" if after else "-", count=count
    )
    parse = op.parse

    def page(reply: Any) -> tuple[list[Held], str]:
        held = parse(reply)
        return held, text(held[-1].entry) if len(held) == count else ""

    return Op(op.words, page, op.script)


def delayed(queue: str, *, after: str = "", count: int = PAGE) -> Op[tuple[list[Waiting], str]]:
    """List the delayed jobs, page by page; some may come twice. See `ready`."""

    def parse(reply: Any) -> tuple[list[Waiting], str]:
        cursor, flat = text(reply[0]), reply[1]
        if isinstance(flat, dict):
            flat = [word for pair in flat.items() for word in pair]
        found = [_delayed(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)]
        return found, "" if cursor == "0" else cursor

    return Op(("HSCAN", keys.delayed(queue), after or "0", "COUNT", count), parse)


def waiting_of(held: Held) -> Waiting | None:
    """Return what waits in ``retries``; None: its entry was deleted, or is a stranger's."""
    return _waiting(held.entry, held.fields) if held.fields and len(held.fields) > 1 else None


def aside(queue: str, job_id: str, ms: int = ASIDE_MS) -> Op[Aside | None]:
    """Put a job aside for a while, if it waits; None: it does not."""
    every = (
        *(keys.jobs(line_at(queue, letter)) for letter in "jhl"),
        keys.retries(queue),
        keys.due(queue),
        keys.delayed(queue),
        keys.index(queue),
        keys.history(queue),
    )

    def parse(reply: Any) -> Aside | None:
        where = text(reply[0])
        if not where:
            return None
        _, blob, letter, first, used, kind, at, history, *more = reply
        return Aside(
            job_id=job_id,
            where=where,
            call=blob,
            letter=text(letter),
            first=first,
            used=int(used),
            kind=text(kind),
            at_ms=int(at),
            history=history or b"",
            more=tuple(more),
        )

    return call(_ASIDE, every, (GROUP, PARKED, job_id, ms, HELD_MS, KINDS), parse)


def attach(queue: str, job: Aside, blob: bytes) -> Op[bool]:
    """Take in a job from another queue; False: it is there already, or has ended there.

    Args:
        blob: its call from now on.
    """
    queue = queue_of(queue)
    every = (
        keys.jobs(line_at(queue, job.letter)),
        keys.retries(queue),
        keys.due(queue),
        keys.delayed(queue),
        keys.index(queue),
        keys.history(queue),
        keys.result(queue, job.job_id),
    )
    # With attempts behind it, it waits among the retries, where they are counted.
    is_new = job.kind in {DELAYED, REPLACEABLE} and not job.history
    kind = DELAYED if is_new else fetch.ANY if job.kind in {DELAYED, REPLACEABLE} else job.kind
    words: list[Word] = [job.letter, job.first, job.used, kind, job.at_ms, job.history]
    return call(_ATTACH, every, (GROUP, PARKED, job.job_id, blob, *words, *job.more), bool)


def detach(queue: str, job: Aside) -> Op[int]:
    """Remove a job that was put aside; the answer is a constant of this module."""
    every = (
        keys.retries(queue),
        keys.due(queue),
        keys.delayed(queue),
        keys.index(queue),
        keys.history(queue),
        keys.cancels(queue),
    )
    args = (GROUP, PARKED, job.job_id, job.where, KINDS, job.call)
    return call(_DETACH, every, args, int)


def _waiting(entry: bytes, fields: list[bytes]) -> Waiting:
    more = {fields[i]: fields[i + 1] for i in range(2, len(fields) - 1, 2)}
    ms = more.get(b"first", entry).partition(b"-")[0]
    return Waiting(text(fields[0]), fields[1], ms_of(ms) or 0)


def _delayed(job_id: bytes, value: bytes) -> Waiting:
    since, _, rest = value.partition(b" ")
    blob = rest.partition(b" ")[2]
    return Waiting(text(job_id), blob, ms_of(since) or 0)
