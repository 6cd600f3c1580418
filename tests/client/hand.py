"""A worker by hand: takes and settles jobs op by op, so that a test decides when."""

from typing import NamedTuple

from jobq.core import letter, result
from jobq.core.codec import Codec, DecodedCall
from jobq.core.history import History
from jobq.core.outcome import Failure
from jobq.store.address import parse_url
from jobq.store.ops import fetch, settle, upkeep
from jobq.store.sync import Store

CONSUMER = "hand"


class Taken(NamedTuple):
    """A delivery: its queue, its entry, its job and its call."""

    queue: str
    entry: bytes
    job_id: str
    call: bytes


class Hand:
    """Works on a server, beside the app that is tested.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.store = Store(lambda: parse_url(url))
        self.codec = Codec()

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def take(self, queue: str = "default", count: int = 1) -> list[Taken]:
        """Take jobs that are ready; there must be that many."""
        self.store.run(upkeep.regroup(queue))
        entries = self.store.run(fetch.read(queue, CONSUMER, count, 5.0))
        assert len(entries) == count, f"{len(entries)} of {count} jobs are ready"
        return [Taken(queue, entry, row[0].decode(), row[1]) for entry, row in entries]

    def calls(self, queue: str = "default", count: int = 1) -> list[DecodedCall]:
        """Take jobs and return their calls."""
        return [self.codec.decode_call(taken.call) for taken in self.take(queue, count)]

    def succeed(self, taken: Taken, value: object = None, ttl: int = 60_000) -> None:
        """Finish a job with a value; ``ttl`` in ms, 0: no result is kept."""
        self.finish(taken, result.SUCCEEDED_HEAD + self.codec.encode_value(value), ttl)

    def finish(self, taken: Taken, blob: bytes, ttl: int = 60_000) -> None:
        """Finish a job with these bytes as its result."""
        done = (taken.entry, taken.job_id.encode(), ttl, blob, 0)
        lost = self.store.run(settle.settle(taken.queue, CONSUMER, [done]))
        assert lost == []

    def bury(self, taken: Taken, failure: Failure, attempts: int = 1, ttl: int = 60_000) -> None:
        """Send a job to the dead letters; ``ttl`` of its result in ms, 0: none."""
        said = letter.Letter("attempts used up", failure, attempts, 0, History())
        ended = result.dead(failure.error, failure.message, failure.traceback, attempts)
        attempt = settle.Attempt(taken.queue, CONSUMER, taken.entry, taken.job_id.encode())
        assert self.store.run(settle.bury(attempt, taken.call, said.encode(), ttl, ended))

    def cancelled(self, taken: Taken) -> None:
        """End a job that was interrupted because it was cancelled."""
        attempt = settle.Attempt(taken.queue, CONSUMER, taken.entry, taken.job_id.encode())
        assert self.store.run(settle.cancelled(attempt))

    def retry(self, taken: Taken, delay: float = 60.0) -> None:
        """Let a job wait for another attempt."""
        attempt = settle.Attempt(taken.queue, CONSUMER, taken.entry, taken.job_id.encode())
        kind = fetch.ANY
        assert self.store.run(
            settle.retry(attempt, taken.call, delay=delay, kind=kind, history=b"")
        )
