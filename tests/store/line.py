"""A queue worked by hand, op by op, and a check that its keys agree with each other."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from jobq.core.history import History
from jobq.core.lines import letter_of, lines_of
from jobq.errors import CallUnreadable
from jobq.store import keys
from jobq.store.keys import GROUP, PARKED
from jobq.store.ops import enqueue, fetch, inspect, manage, promote, settle, upkeep
from jobq.store.ops.settle import Attempt
from jobq.store.wire import Op
from tests.support.server import Server

T = TypeVar("T")

WORKER = "w1"
CALL = b"call of "

#: What the first letter in the index stands for.
PLACES = {
    "j": "jobs",
    "h": "jobs:high",
    "l": "jobs:low",
    "r": "retries",
    "x": "dead",
    "d": "delayed",
    "q": "delayed",
}


class Run(Protocol):
    """Carries an op to Redis and returns its answer."""

    def __call__(self, op: Op[T], /) -> T:
        """Run it."""
        ...


class Line:
    """One queue.

    Args:
        run: what carries its ops.
        name: of the queue.
    """

    def __init__(self, run: Run, name: str = "mail") -> None:
        self.run = run
        self.name = name
        self.jobs = keys.jobs(name)
        self.retries = keys.retries(name)

    def open(self) -> "Line":
        """Make its groups."""
        self.run(upkeep.regroup(self.name))
        return self

    def add(self, *job_ids: str) -> int:
        """Enqueue calls in one step."""
        return self.run(
            enqueue.enqueue_many(self.name, [(one, CALL + one.encode()) for one in job_ids])
        )

    def read(self, count: int = 1, worker: str = WORKER) -> list[Attempt]:
        """Take new jobs."""
        entries = self.run(fetch.read(self.name, worker, count, 0))
        return [Attempt(self.name, worker, entry, fields[0]) for entry, fields in entries]

    def start(self, job_id: str, worker: str = WORKER) -> Attempt:
        """Enqueue a call and take it."""
        self.add(job_id)
        (attempt,) = self.read(1, worker)
        assert attempt.job_id == job_id.encode()
        return attempt

    def settle(
        self, attempts: Sequence[Attempt], *, held: int = -1, ttl: int = 0, worker: str = WORKER
    ) -> list[bytes]:
        """Finish first attempts; the answer is what was no longer owned."""
        batch = [(one.entry, one.job_id, ttl, b"result of " + one.job_id, 0) for one in attempts]
        return self.run(settle.settle(self.name, worker, batch, held=held))

    def fail(
        self, attempt: Attempt, delay: float = 0.0, kind: str = fetch.ANY, history: bytes = b"h"
    ) -> bool:
        """Let another attempt follow."""
        return self.run(
            settle.retry(attempt, call_of(attempt), delay=delay, kind=kind, history=history)
        )

    def release(self, attempt: Attempt, delay: float = 0.0) -> bool:
        """Give an attempt back, not started."""
        return self.run(settle.release(attempt, call_of(attempt), delay=delay, kind=fetch.SUSPECT))

    def claim(self, limit: int = 1, worker: str = WORKER, kinds: str = keys.KINDS) -> list[Attempt]:
        """Take retries that are due."""
        held = self.run(fetch.claim(self.name, worker, limit, kinds)).held
        return [self._attempt(worker, one) for one in held]

    def finish(self, attempt: Attempt, ttl: int = 0) -> bool:
        """Finish a later attempt."""
        return self.run(settle.finish(attempt, ttl, b"result of " + attempt.job_id))

    def bury(self, attempt: Attempt, ttl: int = 0) -> bool:
        """Send a job to the dead letters."""
        return self.run(settle.bury(attempt, call_of(attempt), b"letter", ttl, b"failure"))

    def letters(self) -> dict[str, str]:
        """Return the dead letters: job id → entry."""
        return {one.job_id: one.entry for one in self.run(inspect.letters(self.name))}

    def promote(self) -> promote.Promoted:
        """Move what is due to where it can be read."""
        return self.run(promote.promote(self.name))

    def cancel(self, job_id: str) -> int:
        """Cancel a job."""
        return self.run(manage.cancel(self.name, job_id))

    def cancelled(self, attempt: Attempt) -> bool:
        """End an attempt that was interrupted because its job was cancelled."""
        return self.run(settle.cancelled(attempt))

    def revive(self, job_id: str, entry: str) -> bool:
        """Bring a dead letter back."""
        return self.run(manage.revive(self.name, job_id, entry, b"old history"))

    def look(self, job_id: str) -> inspect.Seen:
        """Look at a job."""
        return self.run(inspect.look(self.name, job_id))

    def count(self) -> inspect.Counted:
        """Count the jobs."""
        return self.run(inspect.count(self.name))

    def mine(self, stream: str, worker: str = WORKER) -> list[Attempt]:
        """Return what a worker holds in a stream."""
        held = self.run(fetch.mine(self.name, stream, worker))
        count = stream == self.retries
        return [self._attempt(worker, one, counted=count) for one in held]

    def _attempt(self, worker: str, held: fetch.Held, *, counted: bool = True) -> Attempt:
        assert held.fields is not None
        count = held.count if counted else 0
        return Attempt(self.name, worker, held.entry, held.fields[0], count)


def call_of(attempt: Attempt) -> bytes:
    """Return the call that `Line.add` gave a job."""
    return CALL + attempt.job_id


def ids(attempts: Sequence[Attempt]) -> list[str]:
    """Return the ids of the jobs."""
    return [one.job_id.decode() for one in attempts]


def due_soon(server: Server, queue: str = "mail") -> list[tuple[str, float]]:
    """Return the letters of what is due, the first one first, and when: Redis time in ms."""
    flat = server.cli("ZRANGE", keys.due(queue), 0, -1, "WITHSCORES")
    return [
        (member.decode()[:1], float(at)) for member, at in zip(flat[::2], flat[1::2], strict=True)
    ]


def problems(server: Server, queue: str = "mail") -> list[str]:
    """Tell where the keys of a queue do not agree with each other; empty: nowhere."""
    lines = {letter_of(line): keys.jobs(line) for line in lines_of(queue)}
    streams = {
        letter: dict(server.cli("XRANGE", key, "-", "+"))
        for letter, key in {**lines, "r": keys.retries(queue), "x": keys.dead(queue)}.items()
    }
    index = pairs(server.cli("HGETALL", keys.index(queue)))
    history = pairs(server.cli("HGETALL", keys.history(queue)))
    due = [member.decode() for member in server.cli("ZRANGE", keys.due(queue), 0, -1)]
    cancels = pairs(server.cli("HGETALL", keys.cancels(queue)))
    running = {letter: pending(server, key) for letter, key in lines.items()}
    running["r"] = later = pending(server, keys.retries(queue))
    wrong = _delays(server, queue, index, due)
    due = [member for member in due if member[:1] not in "dq"]
    wrong += [
        f"index says {where} of {job_id}, and there is {streams[where[:1]].get(where[1:].encode())}"
        for job_id, where in index.items()
        if where not in ("d", "q")
        and (streams[where[:1]].get(where[1:].encode()) or [b""])[0].decode() != job_id
    ]
    for letter, owners in running.items():
        for entry in owners:
            fields = streams[letter].get(entry.encode())
            if fields is None:
                wrong.append(f"{entry} is pending in {letter}, and not there")
            elif index.get(fields[0].decode()) != letter + entry:
                wrong.append(f"{entry} is pending in {letter}, and not indexed")
    times = Counter(member[1:] for member in due)
    for entry in map(bytes.decode, streams["r"]):
        owner = later.get(entry)
        if owner is None:
            wrong.append(f"{entry} is in retries, and not pending")
        elif times[entry] != (owner == PARKED):
            wrong.append(f"{entry} is in due {times[entry]} times, and owned by {owner}")
    wrong += [f"due has {one}, which is no entry" for one in due if one[1:] not in later]
    wrong += [
        f"dead letter {entry} is not indexed"
        for entry, fields in streams["x"].items()
        if index.get(fields[0].decode()) != "x" + entry.decode()
    ]
    wrong += [
        f"there is a history of {job_id}, which is not retried"
        for job_id in history
        if index.get(job_id, "")[:1] not in ("r", "q")  # a retry can be replaced
    ]
    wrong += [
        f"the cancel of {job_id} is remembered at {where}, where it is not"
        for job_id, where in cancels.items()
        if index.get(job_id) != where
    ]
    wrong += [
        f"the cancel of {job_id} was asked for in {where}, where it does not run"
        for job_id, where in cancels.items()
        if index.get(job_id) != where or running.get(where[:1], {}).get(where[1:], PARKED) == PARKED
    ]
    return wrong


def _delays(server: Server, queue: str, index: dict[str, str], due: list[str]) -> list[str]:
    """Tell where the delayed jobs do not agree with what is due, and with the index."""
    delayed = pairs(server.cli("HGETALL", keys.delayed(queue)))
    members = Counter(member for member in due if member[:1] in "dq")
    wrong = [
        f"{job_id} is delayed, and due has it {members[index.get(job_id, 'd') + job_id]} times"
        for job_id in delayed
        if members[index.get(job_id, "d") + job_id] != 1
    ]
    wrong += [
        f"{job_id} is delayed: {value[:40]!r}"
        for job_id, value in delayed.items()
        if not re.match(r"\d+ [hjl] ", value)
    ]
    wrong += [f"due has {one}, which is not delayed" for one in members if one[1:] not in delayed]
    wrong += [
        f"index says {where} of {job_id}, which is{' not' * (where in ('d', 'q'))} delayed"
        for job_id, where in index.items()
        if (where in ("d", "q")) != (job_id in delayed)
    ]
    return wrong


def view(server: Server, queue: str) -> dict[str, tuple[str, str, int, int, bool, bool]]:
    """Return what Redis says of each job that has not ended. See `Model.view`."""
    every = {letter_of(line): keys.jobs(line) for line in lines_of(queue)}
    every["r"] = keys.retries(queue)
    # An entry of the one stream may have the id of one of another: the first letter tells them.
    pending = {
        letter + row[0].decode(): (row[1].decode(), row[3])
        for letter, key in every.items()
        if server.cli("EXISTS", key)
        for row in server.cli("XPENDING", key, GROUP, "-", "+", 10**6)
    }
    due = server.cli("ZRANGE", keys.due(queue), 0, -1, "WITHSCORES")
    now = int(server.cli("TIME")[0]) * 1000 + 999
    later = {
        member.decode() if member[:1] in b"dq" else "r" + member[1:].decode()
        for member, at in zip(due[::2], due[1::2], strict=True)
        if float(at) > now
    }
    history = server.cli("HGETALL", keys.history(queue))
    crashes = {
        job_id.decode(): crashes_of(blob)
        for job_id, blob in zip(history[::2], history[1::2], strict=True)
    }
    marks = pairs(server.cli("HGETALL", keys.cancels(queue)))
    index = pairs(server.cli("HGETALL", keys.index(queue)))
    assert marks.items() <= index.items(), "a mark of a cancel outlives the attempt"
    found = {}
    for job_id, where in index.items():
        owner, count = pending.get(where, ("", 0))
        found[job_id] = (
            PLACES[where[0]],
            "" if owner == PARKED else owner,
            count if where[0] == "r" else 0,
            crashes.get(job_id, 0),
            (where + job_id if where in ("d", "q") else where) not in later,
            job_id in marks,
        )
    return found


def crashes_of(blob: bytes) -> int:
    """Return how many crashes the encoded attempts tell of."""
    try:
        return History.decode(blob).crashes
    except CallUnreadable:
        return 0


def pending(server: Server, stream: str) -> dict[str, str]:
    """Return what is pending in a stream: entry → consumer."""
    if not server.cli("EXISTS", stream) or not server.cli("XINFO", "GROUPS", stream):
        return {}
    rows = server.cli("XPENDING", stream, GROUP, "-", "+", 100_000)
    return {row[0].decode(): row[1].decode() for row in rows}


def delivered(server: Server, stream: str, entry: bytes) -> tuple[str, int]:
    """Return who has an entry, and its delivery count."""
    ((_, consumer, _, count),) = server.cli("XPENDING", stream, GROUP, entry, entry, 1)
    return consumer.decode(), count


def steal(server: Server, attempt: Attempt, thief: str = "w2") -> None:
    """Give an entry to another worker, as the recovery of a lease does."""
    stream = keys.retries(attempt.queue) if attempt.count else keys.jobs(attempt.queue)
    assert server.cli("XCLAIM", stream, GROUP, thief, 0, attempt.entry, "JUSTID")


def waiting(server: Server, queue: str = "mail") -> list[str]:
    """Return the ids of what is in the stream of new jobs, in order."""
    rows = server.cli("XRANGE", keys.jobs(queue), "-", "+")
    return [fields[0].decode() for _, fields in rows]


def everything(server: Server) -> dict[str, Any]:
    """Return what the server has, to be compared; no idle times, no numbers of lanes."""
    found: dict[str, Any] = {}
    for key in sorted(map(bytes.decode, server.cli("KEYS", "*"))):
        match server.cli("TYPE", key):
            case b"stream":
                entries = server.cli("XRANGE", key, "-", "+")
                found[key] = entries, pending(server, key)
            case b"hash":
                found[key] = sorted(pairs(server.cli("HGETALL", key)).items())
            case b"zset" if key.endswith(":lanes"):
                found[key] = server.cli("ZRANGE", key, 0, -1)
            case b"zset":
                found[key] = server.cli("ZRANGE", key, 0, -1, "WITHSCORES")
            case _:
                found[key] = server.cli("DUMP", key)
    return found


def resent(op: Op[Any], lane: str, seq: int) -> Op[Any]:
    """Return an op as a connection sends it again."""
    words = (*op.words[: op.stamp_at], lane, seq, *op.words[op.stamp_at :])
    return dataclasses.replace(op, words=words, stamp_at=0)


def pairs(flat: list[bytes]) -> dict[str, str]:
    """Return what HGETALL answers as a dict of text."""
    words = [word.decode(errors="replace") for word in flat]
    return dict(zip(words[::2], words[1::2], strict=True))
