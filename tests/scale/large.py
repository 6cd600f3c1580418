"""A Redis with very much in it, filled in the way of producers and workers."""

import itertools
from collections.abc import Iterator
from typing import Final

import msgpack

from jobq.core import result
from jobq.core.codec import Codec
from jobq.core.fingerprint import group_of
from jobq.core.ids import make_job_id
from jobq.core.letter import Letter
from jobq.core.outcome import Failure
from jobq.store.address import parse_url
from jobq.store.ops import enqueue, fetch, numbers, settle, upkeep
from jobq.store.ops.enqueue import MOST_CALLS
from jobq.store.sync import Store
from tests.cli.burying import past
from tests.support.server import Server

#: Job functions: as many as have numbers of their own.
JOBS: Final = [f"shop.send{number}" for number in range(200)]

#: Kinds of failures: each raised in a function of its own.
KINDS: Final = 50

#: What is counted of each failed attempt: that it failed, how long it ran and had waited.
COUNTED: Final = "f 1 R12 1 R 90000 W15 1 W 700"

#: Dead letters that are made in one round trip.
_BATCH: Final = 500


class Large:
    """Fills one queue, ``mail``.

    Args:
        server: an empty one, and running.

    Attributes:
        server: the same.
        waiting: the id of the job behind all others.
        dead: the id of the oldest dead letter.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.waiting = ""
        self.dead = ""
        self.store = Store(lambda: parse_url(server.url), patience=5.0)
        self._codec = Codec()

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def fill(self, waiting: int, dead: int) -> None:
        """Bury some jobs, and let others wait."""
        run = self.store.run
        run(enqueue.register_queue("mail"))
        run(upkeep.regroup("mail"))
        for calls in self._calls(dead, _BATCH):
            run(enqueue.enqueue_many("mail", calls))
            self.dead = self.dead or calls[0][0]
            self._bury(len(calls))
        for calls in self._calls(waiting, MOST_CALLS):
            run(enqueue.enqueue_many("mail", calls))
            self.waiting = calls[-1][0]
        for op in numbers.roll("mail", run(numbers.fresh("mail")).counts):
            run(op)
        record = {"state": "running", "queues": ["mail"], "jobs": JOBS, "processes": 2}
        run(upkeep.beat("big:1", msgpack.packb(record), 3600.0))

    def _calls(self, many: int, page: int) -> Iterator[list[tuple[str, bytes]]]:
        """Make calls of all job functions in turn, page by page."""
        blobs = itertools.cycle([self._codec.encode_call(name, (7,), {}, None) for name in JOBS])
        for first in range(0, many, page):
            yield [(make_job_id(), next(blobs)) for _ in range(min(page, many - first))]

    def _bury(self, many: int) -> None:
        ops = []
        read = self.store.run(fetch.read("mail", "w1", many, 0))
        assert len(read) == many
        for number, (entry, (job_id, call, *_)) in enumerate(read):
            name, kind = JOBS[number % len(JOBS)], number % KINDS
            failure = Failure("KeyError", f"'user {number}'", _traceback(kind))
            letter = Letter("attempts used up", failure, 4, 1_700_000_000_000, past("E", "", 4))
            why = result.dead(failure.error, failure.message, failure.traceback, 4)
            attempt = settle.Attempt("mail", "w1", entry, job_id, job=name, counts=COUNTED)
            blob, group = letter.encode(), group_of(name, failure)
            ops.append(settle.bury(attempt, call, blob, 1, why, group=group))
        assert all(one is True for one in self.store.exchange(ops))


def _traceback(kind: int) -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "shop/jobs.py", line {kind}, in send{kind}\n'
        "    raise KeyError(to)\nKeyError: 'user'\n"
    )
