"""Ops that end an attempt: success, another attempt later, the dead letters, given back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jobq.core.fingerprint import MOST_GROUPS, NO_GROUP, Group
from jobq.core.lines import RETRIED, letter_of
from jobq.core.result import CANCELLED
from jobq.core.tally import OTHERS
from jobq.store import keys
from jobq.store.keys import GROUP, PARKED
from jobq.store.wire import Op, Script, Word, call

#: Finished entries that may linger in ``jobs`` behind an old pending one before each batch pays
#: for deleting itself: some thousands, under half a megabyte.
LINGER = 4096

#: Milliseconds that the word "cancelled" is kept for those who wait for the result: as long as a
#: result is by default.
CANCELLED_MS = 300_000

_SETTLE = Script("settle", "tally")
_FINISH = Script("finish", "tally")
_RETRY = Script("retry", "tally")
_PARK = Script("park", "tally")
_BURY = Script("bury", "groups", "tally")
_END = Script("end", "tally")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that somebody owns: where it is, and the fence.

    Attributes:
        queue: the queue's name.
        consumer: who owns it.
        entry: its entry.
        job_id: its job.
        count: 0 in ``jobs``; in ``retries`` the delivery count, which is the attempt.
        more: what else stands in its entry and goes where the job goes, names and values in turn.
        job: the job function under which it is counted.
        counts: what is counted of it beside its outcome, see `jobq.core.tally.words`.
        unheard: if it is buried, ms after which any worker may tell hooks; None: there are none.
    """

    queue: str
    consumer: str
    entry: bytes
    job_id: bytes
    count: int = 0
    more: tuple[bytes, ...] = ()
    job: str = OTHERS
    counts: str = ""
    unheard: int | None = None

    @property
    def fields(self) -> tuple[str, str, bytes, bytes, int]:
        """Everything but what else stands in its entry, in order."""
        return self.queue, self.consumer, self.entry, self.job_id, self.count

    @property
    def counted(self) -> tuple[str, str]:
        """The job function and what is counted of it."""
        return self.job, self.counts

    @property
    def letter(self) -> str:
        """What the index has before its entry."""
        return RETRIED if self.count else letter_of(self.queue)

    @property
    def line(self) -> bytes:
        """The letter of the line that it belongs to, also in ``retries``."""
        if not self.count:
            return letter_of(self.queue).encode()
        return dict(zip(self.more[::2], self.more[1::2], strict=False)).get(b"line", b"j")

    @property
    def stays(self) -> tuple[bytes, ...]:
        """What stands beside its call in ``retries``: since when there is such a job, its line."""
        more = self.more if b"first" in self.more[::2] else (b"first", self.entry, *self.more)
        is_usual = self.line == b"j" or b"line" in more[::2]
        return more if is_usual else (*more, b"line", self.line)


#: A first attempt that succeeded: entry, job id, TTL of the result in ms (0: none is kept), the
#: encoded result, and its place on the board; and what else its worker wants to know of it. A bare
#: tuple: one is made for each job.
Done = tuple[bytes, bytes, int, bytes, int, *tuple[object, ...]]

#: What stands first when an outcome was settled for none of a batch. See `settle`.
AGAIN = b""


def settle(
    queue: str,
    consumer: str,
    batch: Sequence[Done],
    *,
    held: int = -1,
    forget: bool = False,
    counts: Iterable[tuple[str, str]] = (),
) -> Op[list[bytes]]:
    """Finish first attempts that succeeded; the answer is what the worker no longer owned.

    With ``counts``, when it owns only a part of them, nothing is done, and the answer starts with
    `AGAIN`: what is to be counted is not true of the others.

    Args:
        held: how many entries of ``jobs`` it holds, as Redis should know it when this runs;
            -1: it cannot tell, and each one is looked up.
        forget: delete their checkpoints too.
        counts: by job function, what is counted of all of them, see `jobq.core.tally.words`.
    """
    stored = [(at, done) for at, done in enumerate(batch, 1) if done[2] > 0]
    results = [keys.result(queue, done[1].decode()) for _, done in stored]
    args: list[Word] = [GROUP, consumer, LINGER, held, len(batch)]
    args += [done[0] for done in batch]
    args += [done[1] for done in batch]
    for at, done in stored:
        args += (at, done[2], done[3])
    if forget:
        for at, done in enumerate(batch, 1):
            results.append(keys.checkpoint(queue, done[1].decode()))
            args += (at, 0, b"")
    for pair in counts:
        args += pair
    every = (
        keys.jobs(queue),
        keys.index(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.tally(queue),
        *results,
    )
    return call(_SETTLE, every, tuple(args), list)


def settle_one(attempt: Attempt, done: Done) -> Op[bool]:
    """Finish a first attempt that succeeded, and forget its checkpoint; False: no longer owned."""
    op = settle(attempt.queue, attempt.consumer, [done], forget=True, counts=[attempt.counted])
    return Op(op.words, lambda lost: not lost, op.script)


def finish(attempt: Attempt, ttl: int, value: bytes) -> Op[bool]:
    """Finish a later attempt that succeeded; False when it is no longer owned."""
    queue, consumer, entry, job_id, count = attempt.fields
    every = (
        keys.retries(queue),
        keys.index(queue),
        keys.history(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, job_id.decode()),
        keys.checkpoint(queue, job_id.decode()),
        keys.tally(queue),
    )
    args = (GROUP, consumer, entry, count, job_id, ttl, value, *attempt.counted)
    return call(_FINISH, every, args, bool)


def retry(
    attempt: Attempt, call_bytes: bytes, *, delay: float, kind: str, history: bytes
) -> Op[bool]:
    """Let another attempt follow after ``delay`` seconds; False when no longer owned.

    A job whose cancel was asked for while this attempt ran ends as cancelled instead.
    """
    return _later(attempt, call_bytes, max(1, attempt.count), delay, kind, history)


def release(
    attempt: Attempt, call_bytes: bytes, *, delay: float, kind: str, history: bytes = b""
) -> Op[bool]:
    """Give an attempt back that was not started: nothing is counted. See `retry`."""
    return _later(attempt, call_bytes, max(0, attempt.count - 1), delay, kind, history)


def bury(
    attempt: Attempt,
    call_bytes: bytes,
    letter: bytes,
    ttl: int,
    value: bytes,
    *,
    was: bytes = b"",
    expired: bool = False,
    group: Group = NO_GROUP,
) -> Op[bool]:
    """Move an attempt to the dead letters; False when it is no longer owned.

    Args:
        ttl: of the result, in ms; 0: none is kept.
        was: for what cannot be read, and so gets an id of its own: the id that it had.
        expired: it waited too long, which is counted too.
        group: the dead letters that are like it.
    """
    queue, consumer, entry, job_id, count = attempt.fields
    every = (
        keys.retries(queue) if count else keys.jobs(queue),
        keys.dead(queue),
        keys.index(queue),
        keys.history(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, (was or job_id).decode("utf-8", "replace")),
        keys.unheard(queue),
        keys.groups(queue),
        keys.grouped(queue),
        keys.tally(queue),
    )
    counter = "expired" if expired else ""
    ms = "" if attempt.unheard is None else attempt.unheard
    args = (GROUP, consumer, entry, count, job_id, call_bytes, letter, ttl, value, was, counter)
    alike = (group.fingerprint, group.encode(), MOST_GROUPS)
    counts = f"x 1 {attempt.counts}" if expired else attempt.counts
    return call(_BURY, every, (*args, attempt.line, ms, *alike, attempt.job, counts), bool)


def cancelled(attempt: Attempt) -> Op[bool]:
    """End an attempt whose job was cancelled; False when it is no longer owned."""
    return _end(attempt, CANCELLED_MS, CANCELLED, "cancelled")


def expired(attempt: Attempt, ttl: int, value: bytes) -> Op[bool]:
    """End an attempt whose job has waited too long, without a dead letter. See `cancelled`.

    Args:
        ttl: of the result, in ms; 0: none is kept.
    """
    return _end(attempt, ttl, value, "expired")


def _end(attempt: Attempt, ttl: int, value: bytes, counter: str) -> Op[bool]:
    queue, consumer, entry, job_id, count = attempt.fields
    every = (
        keys.retries(queue) if count else keys.jobs(queue),
        keys.index(queue),
        keys.history(queue),
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, job_id.decode("utf-8", "replace")),
        keys.tally(queue),
    )
    counts = f"{'n' if counter == 'cancelled' else 'x'} 1 {attempt.counts}"
    args = (GROUP, consumer, entry, count, job_id, ttl, value, counter, attempt.job, counts)
    return call(_END, every, args, bool)


def _later(
    attempt: Attempt, call_bytes: bytes, used: int, delay: float, kind: str, history: bytes
) -> Op[bool]:
    queue, consumer, entry, job_id, count = attempt.fields
    ms = max(0, round(delay * 1000))
    ended = (
        keys.meta(queue),
        keys.cancels(queue),
        keys.result(queue, job_id.decode("utf-8", "replace")),
    )
    if not count:
        first = (
            keys.jobs(queue),
            keys.retries(queue),
            keys.due(queue),
            keys.index(queue),
            keys.history(queue),
            *ended,
            keys.tally(queue),
        )
        args = (GROUP, consumer, PARKED, entry, job_id, call_bytes, used, ms, kind, history)
        ends = (CANCELLED_MS, CANCELLED, attempt.letter)
        return call(_RETRY, first, (*args, *ends, *attempt.counted, *attempt.stays), bool)
    later = (
        keys.retries(queue),
        keys.due(queue),
        keys.index(queue),
        keys.history(queue),
        *ended,
        keys.tally(queue),
    )
    words = (GROUP, consumer, PARKED, entry, count, used, ms, kind, job_id, history)
    return call(_PARK, later, (*words, CANCELLED_MS, CANCELLED, *attempt.counted), bool)
