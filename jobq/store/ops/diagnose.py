"""Ops of a doctor. None writes anything, and each looks at so much at most."""

from typing import Any, Final, NamedTuple

from jobq.store import keys, keyspace
from jobq.store.keys import GROUP
from jobq.store.wire import Op, Script, call, nothing, pairs, text

_RIGHTS = Script("rights")

#: Entries of a stream that are looked at: each can have half a megabyte.
FEW: Final = 20

#: Keys that one step of a scan looks at, about: well under a millisecond.
STEP: Final = 500

#: Settings that tell how durable Redis is; INFO has the others.
SETTINGS: Final = ("save", "appendfsync", "min-replicas-to-write")

#: What the roles of docs/guide/security.md may send: the command, and arguments that make the call
#: complete; ``{}`` stands for a key.
CALLS: Final = {
    "ping": "",
    "time": "",
    "select": "0",
    "client|setname": "x",
    "client|tracking": "on",
    "script|load": "x",
    "evalsha": "x 1 {}",
    "eval": "x 1 {}",
    "smembers": "{}",
    "get": "{}",
    "exists": "{}",
    "hget": "{} x",
    "hgetall": "{}",
    "hlen": "{}",
    "xlen": "{}",
    "xrange": "{} - +",
    "xrevrange": "{} + -",
    "xpending": "{} x",
    "xinfo|groups": "{}",
    "zcount": "{} 0 1",
    "zscore": "{} x",
    "zrange": "{} 0 1",
    "hmget": "{} x",
    "lrange": "{} 0 1",
    "zcard": "{}",
    "scard": "{}",
    "zrevrangebylex": "{} + -",
    "zlexcount": "{} - +",
    "client|caching": "yes",
    "sadd": "{} x",
    "set": "{} x",
    "hset": "{} x x",
    "hdel": "{} x",
    "hexists": "{} x",
    "hrandfield": "{}",
    "hincrby": "{} x 1",
    "xadd": "{} * x x",
    "xdel": "{} 0-1",
    "xack": "{} x 0-1",
    "zadd": "{} 0 x",
    "zrem": "{} x",
    "del": "{}",
    "llen": "{}",
    "lpush": "{} x",
    "ltrim": "{} 0 1",
    "client|id": "",
    "client|unblock": "1",
    "info": "",
    "hscan": "{} 0",
    "xtrim": "{} maxlen 1",
    "xclaim": "{} x x 0 0-1",
    "xreadgroup": "group x x streams {} >",
    "xgroup|create": "{} x 0",
    "xgroup|delconsumer": "{} x x",
    "xinfo|consumers": "{}",
    "zrangebyscore": "{} 0 1",
    "zremrangebyscore": "{} 0 1",
    "zremrangebyrank": "{} 0 1",
    "getrange": "{} 0 1",
    "lset": "{} 0 x",
    "strlen": "{}",
    "pexpire": "{} 1",
    "srem": "{} x",
}

#: What each of them may send: the lines of that page, and a test compares the two.
ROLES: Final = {
    "reader": (
        "ping time select info client|setname client|tracking script|load evalsha eval smembers "
        "get exists hget hgetall hlen xlen xrange xrevrange xpending xinfo|groups zcount "
        "zscore zrange hmget lrange zcard scard zrevrangebylex zlexcount"
    ),
    "producer": (
        "ping time select client|setname client|tracking client|caching script|load evalsha "
        "eval sadd smembers get set exists hget hset hdel hlen hexists hrandfield hincrby "
        "xadd xdel xack xlen xrange xrevrange xpending zadd zrem zcard zscore hmget del "
        "lrange llen lpush ltrim zrange"
    ),
    "worker": (
        "ping time select client|setname client|tracking client|caching client|id "
        "client|unblock info script|load evalsha eval sadd smembers get set del exists hget "
        "hset hdel hlen hexists hrandfield hgetall hscan hincrby xadd xdel xack xlen xtrim "
        "xrange xrevrange xpending xclaim xreadgroup xgroup|create xgroup|delconsumer "
        "xinfo|consumers xinfo|groups zadd zrem zcard zcount zscore zrange zrangebyscore "
        "zremrangebyscore zremrangebyrank hmget getrange lrange llen lpush lset ltrim strlen "
        "pexpire scard srem zrevrangebylex zlexcount"
    ),
}

#: A key that there is none of.
_ANY: Final = f"{keyspace.MATCH[:-1]}{{x}}:x"


class Group(NamedTuple):
    """The consumer group of jobq on a stream: the last entry that it gave out."""

    last: str


class Entry(NamedTuple):
    """An entry of a job stream: its id, the job and its call."""

    id: str
    job_id: bytes
    call: bytes


class Rights(NamedTuple):
    """By role: what Redis does not have; and what it refuses to this user, None: not known."""

    missing: frozenset[str]
    denied: dict[str, frozenset[str]] | None


def ping() -> Op[None]:
    """Ask whether Redis is there."""
    return Op(("PING",), nothing)


def info() -> Op[dict[str, str]]:
    """Read what Redis tells of itself, as text by name."""
    return Op(("INFO",), _info)


def setting(name: str) -> Op[dict[str, str]]:
    """Read a setting of Redis."""
    return Op(("CONFIG", "GET", name), _config)


def rights() -> Op[Rights]:
    """Ask which of the commands of all `ROLES` there are, and which of them we may send."""
    every = [f"{name.replace('|', ' ')} {words.format(_ANY)}" for name, words in CALLS.items()]
    return call(_RIGHTS, (), tuple(every), _rights)


def known() -> Op[frozenset[str]]:
    """Ask which of the commands of all `ROLES` Redis does not have, where `rights` cannot tell."""
    names = sorted({name.partition("|")[0] for name in CALLS})
    return Op(("COMMAND", "INFO", *names), lambda reply: _unknown(names, reply))


def group(stream: str) -> Op[Group | None]:
    """Read the consumer group of jobq on a stream; None: there is none."""
    return Op(("XINFO", "GROUPS", stream), _group)


def length(stream: str) -> Op[int]:
    """Count the entries of a stream."""
    return Op(("XLEN", stream), int)


def newest(stream: str) -> Op[list[Entry]]:
    """Read the newest entry of a stream."""
    return Op(("XREVRANGE", stream, "+", "-", "COUNT", 1), _entries)


def first(stream: str, after: str = "") -> Op[list[Entry]]:
    """Read the first `FEW` entries of a stream.

    Args:
        after: those after this one; empty: from its start.
    """
    return Op(("XRANGE", stream, f"({after}" if after else "-", "+", "COUNT", FEW), _entries)


def pending(stream: str, since: str, until: str) -> Op[frozenset[str]]:
    """List which of up to `FEW` entries, from one to another, are pending."""
    return Op(("XPENDING", stream, GROUP, since, until, FEW), _pending)


def places(queue: str, job_ids: tuple[bytes, ...]) -> Op[list[str]]:
    """Read where jobs are, by the index; empty: nowhere."""
    return Op(
        ("HMGET", keys.index(queue), *job_ids), lambda reply: [text(one or b"") for one in reply]
    )


def scan(cursor: str) -> Op[tuple[str, list[str]]]:
    """Walk through the keys of jobq, a step; the answer is the next cursor and some keys."""
    return Op(("SCAN", cursor, "MATCH", keyspace.MATCH, "COUNT", STEP), _scanned)


def kind(key: str) -> Op[str]:
    """Ask for the type of a key."""
    return Op(("TYPE", key), text)


def ttl(key: str) -> Op[int]:
    """Ask how many ms a key will be there; -1: for ever, -2: it is gone."""
    return Op(("PTTL", key), int)


def _info(reply: Any) -> dict[str, str]:
    lines = (line.partition(":") for line in text(reply).splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines if name}


def _config(reply: Any) -> dict[str, str]:
    return {name: text(value) for name, value in pairs(reply).items()}


def _rights(reply: Any) -> Rights:
    if not isinstance(reply, list):
        return Rights(frozenset(), None)
    found = dict(zip(CALLS, map(int, reply), strict=True))
    denied = {
        role: frozenset(name for name in names.split() if not found.get(name, 1))
        for role, names in ROLES.items()
    }
    return Rights(frozenset(name for name, code in found.items() if code < 0), denied)


def _unknown(names: list[str], reply: Any) -> frozenset[str]:
    return frozenset(name for name, found in zip(names, reply, strict=True) if not found)


def _group(reply: Any) -> Group | None:
    rows = (pairs(row) for row in reply)
    return next(
        (Group(text(row["last-delivered-id"])) for row in rows if text(row["name"]) == GROUP), None
    )


def _entries(reply: Any) -> list[Entry]:
    return [
        Entry(text(entry), fields[0], fields[1] if len(fields) > 1 else b"")
        for entry, fields in reply or ()
        if fields
    ]


def _pending(reply: Any) -> frozenset[str]:
    return frozenset(text(row[0]) for row in reply)


def _scanned(reply: Any) -> tuple[str, list[str]]:
    return text(reply[0]), [text(one) for one in reply[1]]
