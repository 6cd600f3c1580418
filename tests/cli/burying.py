"""Dead letters made by hand, with the ops that a worker uses."""

from collections.abc import Mapping
from typing import Final

import msgpack

from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.fingerprint import NO_GROUP, group_of
from jobq.core.head import read_head
from jobq.core.history import AttemptRecord, History
from jobq.core.ids import make_job_id
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.store.address import parse_url
from jobq.store.ops import control, enqueue, fetch, settle, upkeep
from jobq.store.sync import Store
from tests.support.wait import wait_until

TRACEBACK: Final = """\
Traceback (most recent call last):
  File "shop/jobs.py", line 7, in send
    raise KeyError(to)
KeyError: 'ada'
"""


class Undertaker:
    """Enqueues jobs, runs them and buries them.

    Args:
        url: of the Redis.
    """

    def __init__(self, url: str) -> None:
        self.store = Store(lambda: parse_url(url), patience=1.0)
        self.codec = Codec()

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def enqueue(
        self,
        name: str = "shop.send",
        *args: object,
        queue: str = "mail",
        job_id: str = "",
        call: bytes = b"",
        kwargs: Mapping[str, object] | None = None,
    ) -> str:
        """Enqueue a call, or any bytes in its place; returns the id of the job."""
        job_id = job_id or make_job_id()
        blob = call or self.codec.encode_call(name, args, dict(kwargs or {}), None)
        self.store.run(enqueue.register_queue(queue))
        self.store.run(upkeep.regroup(queue))
        assert self.store.run(enqueue.enqueue(queue, job_id, blob)) == 1
        return job_id

    def start(self, queue: str = "mail") -> tuple[settle.Attempt, bytes]:
        """Take the next new job, as the worker ``w1``; returns its attempt and its call."""
        (entry, (job_id, call, *_)), *_ = self.store.run(fetch.read(queue, "w1", 1, 0))
        return settle.Attempt(queue, "w1", entry, job_id), call

    def park(self, delay: float = 3600.0, queue: str = "mail") -> None:
        """Take the next new job, and let it fail for another attempt later."""
        attempt, call = self.start(queue)
        blob = past("KeyError", "'ada'").encode()
        assert self.store.run(
            settle.retry(attempt, call, delay=delay, kind=fetch.ANY, history=blob)
        )

    def put_back(self, queue: str = "mail") -> None:
        """Take the next new job, and put it back as one that no worker knows."""
        attempt, call = self.start(queue)
        assert self.store.run(settle.release(attempt, call, delay=5.0, kind=fetch.UNKNOWN))

    def interrupt(self, attempt: settle.Attempt) -> None:
        """End an attempt as cancelled once that is asked for."""
        commands = wait_until(lambda: self.store.run(control.read("0-0")), "somebody asked")
        assert commands[0][1].target.encode() == attempt.job_id
        assert self.store.run(settle.cancelled(attempt))

    def succeed(self, value: object, queue: str = "mail") -> None:
        """Take the next new job, and let it return a value."""
        attempt, _ = self.start(queue)
        kept = result.SUCCEEDED_HEAD + self.codec.encode_value(value)
        done = (attempt.entry, attempt.job_id, 60_000, kept, 0)
        assert self.store.run(settle.settle(queue, "w1", [done])) == []

    def bury(self, letter: Letter | bytes | None = None, queue: str = "mail") -> None:
        """Take the next new job, and bury it."""
        attempt, call = self.start(queue)
        said = letter if letter is not None else dead()
        blob = said if isinstance(said, bytes) else said.encode()
        why = result.dead("KeyError", "'ada'", TRACEBACK, 4)
        group = NO_GROUP
        if isinstance(said, Letter):
            group = group_of(read_head(call).name, said.failure)
        assert self.store.run(settle.bury(attempt, call, blob, 60_000, why, group=group))

    def dead(
        self,
        name: str = "shop.send",
        *args: object,
        queue: str = "mail",
        job_id: str = "",
        call: bytes = b"",
        letter: Letter | bytes | None = None,
        kwargs: Mapping[str, object] | None = None,
    ) -> str:
        """Enqueue a job and bury it; returns its id."""
        made = self.enqueue(name, *args, queue=queue, job_id=job_id, call=call, kwargs=kwargs)
        self.bury(letter, queue)
        return made

    def say(self, name: str, state: str) -> None:
        """Say for a worker that it lives, and what it does."""
        record = msgpack.packb({"state": state, "queues": ["mail"]})
        self.store.run(upkeep.beat(name, record, 60.0))

    def let_the_clock_tick(self) -> None:
        """Wait for the next millisecond of Redis: within one, the order of queues is by name."""
        before = self.store.run(upkeep.time_ms())
        wait_until(lambda: self.store.run(upkeep.time_ms()) > before, "a millisecond passed")


def past(error: str, message: str, attempts: int = 1) -> History:
    """Return a history of attempts that failed alike, in November 2023."""
    history = History()
    for number in range(1, attempts + 1):
        at_ms = 1_700_000_000_000 + 1000 * number
        record = AttemptRecord(number, at_ms, "failed", error, message, TRACEBACK)
        history = history.add(record)
    return history


def dead(
    error: str = "KeyError",
    message: str = "'ada'",
    *,
    reason: str = "attempts used up",
    traceback: str = TRACEBACK,
    readable: bool = True,
) -> Letter:
    """Return what the dead letter of a job says that was started four times."""
    failure = Failure(error, message, traceback)
    history = past(error, message, 4)
    return Letter(reason, failure, 4, 1_700_000_000_000, history, readable)
