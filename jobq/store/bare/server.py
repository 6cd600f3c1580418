"""Questions about the server, and clearing away what a bench has put there."""

from dataclasses import dataclass
from typing import Any, Final

from jobq.store import keys
from jobq.store.sync import Store
from jobq.store.wire import Op, nothing, text

#: Keys that a scan looks at in one step, and keys that are removed in one: a ms each.
_SCAN: Final = 10_000
_REMOVE: Final = 1000


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself.

    Attributes:
        name: ``Redis`` or ``Valkey``.
        version: of the server.
        commands: that it has executed so far.
        used: bytes of memory.
        limit: bytes of ``maxmemory``; 0: there is none.
        freeing: objects that a background thread has still to free.
    """

    name: str
    version: str
    commands: int
    used: int
    limit: int
    freeing: int


def facts() -> Op[ServerFacts]:
    """Ask what server this is and how busy it is."""
    return Op(("INFO",), _facts)


def cpu_seconds() -> Op[float]:
    """Ask for the CPU time that the server has used so far, in seconds."""
    return Op(("INFO", "cpu"), _cpu)


def jobs_left(queue: str) -> Op[int]:
    """Count the live jobs of a queue."""
    return Op(("HLEN", keys.index(queue)), int)


def entries_left(queue: str) -> Op[int]:
    """Count the entries in the stream of a queue."""
    return Op(("XLEN", keys.jobs(queue)), int)


def drop(queue: str) -> Op[int]:
    """Remove what enqueueing has put into a queue."""
    return Op(("DEL", keys.jobs(queue), keys.index(queue), keys.lanes(queue)), int)


def clear_away(store: Store, queues: list[str], worker_names: list[str], prefix: str) -> None:
    """Remove all traces of queues and workers.

    Args:
        store: the Redis.
        queues: their names.
        worker_names: names in the register of workers.
        prefix: how the names of the queues begin; nobody else's begin so.
    """
    cursor = b"0"
    while True:
        cursor, found = store.run(_scan(cursor, prefix))
        for start in range(0, len(found), _REMOVE):
            store.run(Op(("UNLINK", *found[start : start + _REMOVE]), nothing))
        if cursor == b"0":
            break
    store.run(Op(("SREM", keys.QUEUES, *queues), nothing))
    store.run(Op(("HDEL", keys.WORKERS, *worker_names), nothing))


def _scan(cursor: bytes, prefix: str) -> Op[tuple[bytes, list[bytes]]]:
    # Results are there under ids that nobody knows any more when a bench was interrupted.
    pattern = keys.jobs(f"{prefix}*").removesuffix("jobs") + "*"
    return Op(("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN), _page)


def _page(reply: Any) -> tuple[bytes, list[bytes]]:
    return reply[0], reply[1]


def _lines(reply: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in text(reply).splitlines())
    return {name: value for name, _, value in lines if value}


def _cpu(reply: Any) -> float:
    said = _lines(reply)
    return float(said["used_cpu_sys"]) + float(said["used_cpu_user"])


def _facts(reply: Any) -> ServerFacts:
    said = _lines(reply)
    valkey = said.get("valkey_version")
    return ServerFacts(
        name="Redis" if valkey is None else "Valkey",
        version=valkey or said.get("redis_version", "of unknown version"),
        commands=int(said.get("total_commands_processed", 0)),
        used=int(said.get("used_memory", 0)),
        limit=int(said.get("maxmemory", 0)),
        freeing=int(said.get("lazyfree_pending_objects", 0)),
    )
