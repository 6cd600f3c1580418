"""Bare enqueueing: XADD of a msgpack call, one by one, many at once, or in bulk."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgpack
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from jobq.core.clock import Clock
from jobq.store import keys
from jobq.store.address import Address
from jobq.store.bare.client import options, our_errors

#: A bulk script: what `XADD` costs in a loop inside Redis, and nothing else.
_BULK: Final = "for i = 1, #ARGV do redis.call('XADD', KEYS[1], '*', 'call', ARGV[i]) end"

#: Calls of one run of the bulk script, as many as jobq sends in one round trip.
_CHUNK: Final = 1000

#: The one field of an entry.
_FIELD: Final = b"call"


class BareProducer:
    """Adds calls to the stream of a queue through redis-py.

    A call is encoded as jobq encodes it, so that both send the same bytes.

    Args:
        address: where Redis is.
        queue: whose stream it is.
        clock: what measures `many_at_once`.

    Attributes:
        queue: whose stream it is.
    """

    def __init__(self, address: Address, queue: str, clock: Clock) -> None:
        self.queue = queue
        self._options = options(address)
        self._client = Redis(**self._options)
        self._key = keys.jobs(queue)
        self._clock = clock
        self._pack = msgpack.Packer(strict_types=True).pack
        self._sha = ""

    def one(self, name: str, *args: object) -> None:
        """Add one call."""
        with our_errors():
            self._client.xadd(self._key, {_FIELD: self._pack([1, name, [*args], None, None])})

    def one_by_one(self, name: str, calls: Iterable[Sequence[object]]) -> None:
        """Add calls, each with a round trip of its own."""
        xadd, key, pack = self._client.xadd, self._key, self._pack
        with our_errors():
            for args in calls:
                xadd(key, {_FIELD: pack([1, name, [*args], None, None])})

    def in_bulk(self, name: str, calls: Sequence[Sequence[object]]) -> None:
        """Add calls by a script, a thousand a round trip."""
        evalsha, key, pack = self._client.evalsha, self._key, self._pack
        with our_errors():
            if not self._sha:
                self._sha = self._client.script_load(_BULK)
            for start in range(0, len(calls), _CHUNK):
                blobs = [
                    pack([1, name, [*args], None, None]) for args in calls[start : start + _CHUNK]
                ]
                evalsha(self._sha, 1, key, *blobs)

    def many_at_once(self, name: str, calls: Sequence[Sequence[object]], width: int) -> float:
        """Add calls from many coroutines of one loop, through redis-py's pool.

        Args:
            name: of the job function.
            calls: their arguments.
            width: how many are under way at any time.

        Returns:
            Seconds, without those that it took to open the connections.
        """
        with our_errors():
            return asyncio.run(self._many_at_once(name, calls, width))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _many_at_once(
        self, name: str, calls: Sequence[Sequence[object]], width: int
    ) -> float:
        key, pack = self._key, self._pack
        async with AsyncRedis(**self._options) as client:
            await asyncio.gather(*(client.ping() for _ in range(width)))
            left = iter(calls)

            async def add() -> None:
                for args in left:
                    await client.xadd(key, {_FIELD: pack([1, name, [*args], None, None])})

            began = self._clock.monotonic()
            await asyncio.gather(*(add() for _ in range(width)))
            return self._clock.monotonic() - began
