"""What Redis says of each job of a queue, in the words of the model of times: one round trip."""

from collections.abc import Callable
from typing import Any

from redis import Redis

from jobq.core.lines import letter_of, lines_of
from jobq.store import keys
from jobq.store.keys import GROUP, HELD_MS, PARKED
from tests.store.line import crashes_of, pairs
from tests.store.model_times import DAY


def connected(redis: Redis) -> Redis:
    """Let a client give the replies as the server gives them."""
    redis.response_callbacks.clear()
    return redis


def snapshot(redis: Redis, queue: str, base: int, today: int) -> dict[str, tuple[object, ...]]:
    """Return what `Times.view` does.

    Args:
        redis: see `connected`.
        base: Redis time in ms at the start of the first day.
        today: the number of this day.
    """
    streams = {letter_of(line): keys.jobs(line) for line in lines_of(queue)}
    streams["r"] = keys.retries(queue)
    with redis.pipeline(transaction=False) as pipe:
        send: Callable[..., object] = pipe.execute_command
        for key in (*streams.values(), keys.dead(queue)):
            send("XRANGE", key, "-", "+")
        for key in streams.values():
            send("XPENDING", key, GROUP, "-", "+", 10**6)
        send("ZRANGE", keys.due(queue), 0, -1, "WITHSCORES")
        for key_of in (keys.index, keys.delayed, keys.cancels, keys.history):
            send("HGETALL", key_of(queue))
        # An error: there is no such group, so nothing is pending.
        replies: list[Any] = pipe.execute(raise_on_error=False)
    entries = {
        letter + entry.decode(): fields
        for letter, rows in zip((*streams, "x"), replies[:5], strict=True)
        for entry, fields in rows
    }
    pending = {
        letter + row[0].decode(): (row[1].decode(), row[3])
        for letter, rows in zip(streams, replies[5:9], strict=True)
        for row in ([] if isinstance(rows, Exception) else rows)
    }
    scores = pairs(replies[9])
    due = {member[1:]: (member[:1], float(score)) for member, score in scores.items()}
    index, delayed, marks = map(pairs, replies[10:13])
    history = dict(zip(replies[13][::2], replies[13][1::2], strict=True))
    found: dict[str, tuple[object, ...]] = {}
    for job_id, where in index.items():
        letter = where[0]
        owner, attempt = pending.get(where, ("", 0))
        owner = "" if owner == PARKED else owner
        if letter in "dq":
            _, line, call = delayed[job_id].split(" ", 2)
        else:
            fields = [word.decode(errors="replace") for word in entries[where]]
            call, named = fields[1], dict(zip(fields[2::2], fields[3::2], strict=True))
            line = letter if letter in streams and letter != "r" else named.get("line", "j")
        kind, at = due.get(job_id if letter in "dq" else where[1:], ("", 0.0))
        days = 0 if at >= HELD_MS and kind in "pP" else max(0, int(at - base) // DAY - today)
        found[job_id] = (
            letter, line, call.encode(), kind if letter == "r" else "", days, owner,
            attempt if letter == "r" else 0, crashes_of(history.get(job_id.encode(), b"")),
            job_id in marks,
        )  # fmt: skip
    return found
