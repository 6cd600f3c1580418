"""The bare worker: what a Python process can drain from a stream when it promises nothing.

One redis-py connection; commands are packed by hiredis; acknowledging a batch, trimming it away and
reading the next one is one write.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack
from redis import Redis

from jobq.store import keys
from jobq.store.address import Address
from jobq.store.bare.client import options
from jobq.store.keys import GROUP
from jobq.store.wire import pack

#: Entries of one read.
_COUNT: Final = 200

#: Milliseconds that a read waits for the first entry; below redis-py's own timeout of 5 s.
_BLOCK: Final = 1000

#: The name of a job function → the function, and the ms that its results are kept (0: not at all).
Functions = Mapping[str, tuple[Callable[..., object], int]]


def work(address: Address, queue: str, functions: Functions) -> None:
    """Run the calls in the stream of a queue until the process is ended.

    Args:
        address: where Redis is.
        queue: whose stream it is; it must not have a consumer group yet.
        functions: what may be called.
    """
    client = Redis(**options(address), protocol=2)
    key = keys.jobs(queue)
    client.xgroup_create(key, GROUP, "0", mkstream=True)
    connection = client.connection_pool.get_connection()
    send: Any = connection.send_packed_command
    answer = connection.read_response
    read = pack(
        (
            "XREADGROUP",
            "GROUP",
            GROUP,
            "bare",
            "COUNT",
            _COUNT,
            "BLOCK",
            _BLOCK,
            "STREAMS",
            key,
            ">",
        )
    )
    out, due = [read], 1
    while True:
        send([b"".join(out)], check_health=False)
        for _ in range(due - 1):
            answer()
        batch = answer()
        if batch is None:
            out, due = [read], 1
            continue
        entries = batch[0][1]
        out = _run(queue, entries, functions)
        newest = entries[-1][0]
        out += (
            pack(("XACK", key, GROUP, *[entry for entry, _ in entries])),
            pack(("XTRIM", key, "MINID", _after(newest))),
            read,
        )
        due = len(out)


def _run(queue: str, entries: list[Any], functions: Functions) -> list[bytes]:
    """Call what a batch asks for; return the commands that store the results."""
    stores = []
    decode, encode = msgpack.unpackb, msgpack.packb
    for entry, (_, blob) in entries:
        _, name, args, kwargs, _ = decode(blob)
        function, ttl = functions[name]
        value = function(*args) if kwargs is None else function(*args, **kwargs)
        if ttl:
            result = keys.result(queue, entry.decode())
            stores.append(pack(("SET", result, encode(value), "PX", ttl)))
    return stores


def _after(entry: bytes) -> bytes:
    ms, _, number = entry.partition(b"-")
    return b"%s-%d" % (ms, int(number) + 1)
