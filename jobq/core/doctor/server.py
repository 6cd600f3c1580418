"""What a doctor thinks of a Redis: what it is, how it is set, and how it does.

Everything comes from INFO and CONFIG GET, as text by name; what a user may not ask is not there.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from jobq.core.doctor.finding import Finding, count, number, some, unasked
from jobq.core.duration import show

Said = Mapping[str, str]

#: The oldest that jobq is tested on.
OLDEST: Final = {"redis": (6, 2), "valkey": (7, 2)}

#: Seconds that an answer may take, as the middle of some, before it is a warning, and bad.
SLOW: Final = (0.005, 0.05)

#: Seconds that the clocks of this host and of Redis may be apart.
SKEW: Final = 2.0
#: Seconds apart that nobody needs to know of.
AGREED: Final = 0.05

#: Parts of maxmemory, and of maxclients, in use that are a warning; and bad.
FULL: Final = (0.8, 0.95)

#: What the users of docs/guide/security.md may do, by role; the first has the others' rights too.
ROLES: Final = ("worker", "producer", "reader")

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")


def examine(info: Said, config: Said) -> Iterator[Finding]:
    """Go through what INFO and CONFIG GET say."""
    yield _version(info)
    yield from _cluster(info)
    yield _eviction(info)
    yield _memory(info)
    yield _persistence(info, config)
    yield _replicas(info, config)
    yield from _clients(info)


def _version(info: Said) -> Finding:
    name = "valkey" if info.get("valkey_version") else "redis"
    text = info.get(f"{name}_version", "")[:40]
    found = _VERSION.match(text)
    least = OLDEST[name]
    oldest = f"{name.capitalize()} {least[0]}.{least[1]}"
    what = f"{name.capitalize()} {text or 'of an unknown version'}"
    if found is None or (int(found[1]), int(found[2])) < least:
        return Finding("version", "bad", f"{what}; jobq needs {oldest}", f"upgrade to {oldest}")
    return Finding("version", "ok", what)


def _cluster(info: Said) -> Iterator[Finding]:
    if info.get("cluster_enabled") == "1":
        fix = "use a Redis with cluster-enabled no"
        yield Finding("cluster", "bad", "this is a Redis Cluster, which is not supported yet", fix)


def _eviction(info: Said) -> Finding:
    policy, limited = info.get("maxmemory_policy", ""), number(info, "maxmemory") > 0
    evicted = number(info, "evicted_keys")
    fix = "CONFIG SET maxmemory-policy noeviction, and in its configuration"
    if policy.startswith("allkeys"):
        if limited:
            gone = f"; it has deleted {count(evicted, 'key')} since it started" if evicted else ""
            what = f"{policy}: Redis deletes whole queues when its memory is full{gone}"
            return Finding("eviction", "bad", what, fix)
        what = f"{policy}: Redis would delete whole queues, if it ever got a maxmemory"
        return Finding("eviction", "warning", what, fix)
    if policy.startswith("volatile") and limited:
        what = f"{policy}: Redis deletes results and checkpoints when its memory is full"
        return Finding("eviction", "warning", what, fix)
    return Finding("eviction", "ok", f"{policy or 'no policy told'}: nothing is deleted")


def _memory(info: Said) -> Finding:
    used, limit = number(info, "used_memory"), number(info, "maxmemory")
    if not limit:
        return Finding("memory", "ok", f"{_size(used)} in use, without a maxmemory")
    what = f"{_size(used)} of {_size(limit)} in use"
    fix = "CONFIG SET maxmemory to more, or remove what is not needed: jobq queues, jobq dlq purge"
    if used > FULL[1] * limit:
        return Finding("memory", "bad", f"{what}: soon no job can be enqueued", fix)
    if used > FULL[0] * limit:
        return Finding("memory", "warning", what, fix)
    return Finding("memory", "ok", what)


def _persistence(info: Said, config: Said) -> Finding:
    broken = _unwritten(info)
    if broken is not None:
        return broken
    # Without CONFIG, a Redis that has snapshots set and none taken yet looks as if it had none.
    saves = config.get("save") if "save" in config else info.get("rdb_last_save_time", "")
    fix = "CONFIG SET appendonly yes, and in its configuration"
    if info.get("aof_enabled") != "1":
        if saves:
            what = "snapshots only: jobs since the last one are lost when Redis dies"
            return Finding("persistence", "warning", what, fix)
        what = "none: all jobs are lost when Redis ends"
        return Finding("persistence", "warning", what, fix)
    when = config.get("appendfsync", "")
    if when == "no":
        what = "appendonly yes, appendfsync no: the system decides what a power failure costs"
        return Finding("persistence", "warning", what, "CONFIG SET appendfsync everysec")
    return Finding("persistence", "ok", f"appendonly yes, appendfsync {when or 'not known'}")


def _unwritten(info: Said) -> Finding | None:
    fix = "look at the log of Redis and at its disk"
    if info.get("loading") == "1":
        return Finding("persistence", "bad", "Redis is loading its data", "wait")
    if info.get("aof_enabled") == "1" and info.get("aof_last_write_status") == "err":
        return Finding("persistence", "bad", "Redis cannot write its appendonly file", fix)
    if info.get("rdb_last_bgsave_status") == "err":
        what = "the last snapshot failed: by default Redis refuses writes until one succeeds"
        return Finding("persistence", "bad", what, fix)
    return None


def _replicas(info: Said, config: Said) -> Finding:
    if info.get("role") == "slave":
        link = info.get("master_link_status", "")
        what = f"this is a replica (its link is {link or 'not known'}): it takes no writes"
        return Finding("replicas", "bad", what, "give jobq the URL of the master")
    many = number(info, "connected_slaves")
    if not many:
        return Finding("replicas", "ok", "a master without replicas")
    rows = [info.get(f"slave{at}", "") for at in range(min(many, 100))]
    late = sum("state=online" not in row for row in rows)
    what = f"a master with {count(many, 'replica')}"
    if late:
        what += f", {late:,} of them not in step"
        return Finding("replicas", "warning", what, "look at INFO replication and their logs")
    if config.get("min-replicas-to-write") == "0":
        what += "; it takes writes when none follows, which a failover would lose"
        return Finding("replicas", "warning", what, "CONFIG SET min-replicas-to-write 1")
    return Finding("replicas", "ok", what)


def _clients(info: Said) -> Iterator[Finding]:
    many, most = number(info, "connected_clients"), number(info, "maxclients")
    if not most:
        return
    what = f"{many:,} of {most:,} connections in use"
    if many > FULL[0] * most:
        yield Finding("connections", "warning", what, "CONFIG SET maxclients to more")
    else:
        yield Finding("connections", "ok", what)


def latency(seconds: Collection[float]) -> Finding:
    """Judge how long Redis took to answer, some times."""
    middle = sorted(seconds)[len(seconds) // 2]
    what = f"answers in {show(middle)}, the slowest of {len(seconds)} in {show(max(seconds))}"
    fix = "look at SLOWLOG GET and LATENCY DOCTOR, and at the network between"
    if middle > SLOW[1]:
        return Finding("latency", "bad", what, fix)
    if middle > SLOW[0]:
        return Finding("latency", "warning", what, fix)
    return Finding("latency", "ok", what)


def clock(skew: float) -> Finding:
    """Judge how far this host's clock is behind that of Redis, in seconds."""
    what = f"this host is {show(round(abs(skew), 3))} {'behind' if skew > 0 else 'ahead of'} Redis"
    if abs(skew) > SKEW:
        what += ": moments that its programs compute, such as delay=, are off by as much"
        return Finding("clock", "warning", what, "run an NTP service on both")
    return Finding("clock", "ok", "this host and Redis agree" if abs(skew) < AGREED else what)


def commands(missing: Collection[str]) -> Finding:
    """Judge which commands this Redis does not have."""
    if not missing:
        return Finding("commands", "ok", "all that jobq sends are there")
    fix = "remove rename-command from its configuration"
    return Finding("commands", "bad", f"Redis does not have {some(sorted(missing))}", fix)


def rights(user: str, denied: Mapping[str, Collection[str]] | None) -> Finding:
    """Judge what the user of this connection may do.

    Args:
        denied: by role, the commands of it that the user may not send; None: not known.
    """
    if denied is None:
        return unasked("rights", "Redis tells that from 7.0 on")
    whole = next((role for role in ROLES if not denied[role]), None)
    called = f"user {user}"
    if whole == "worker":
        return Finding("rights", "ok", f"{called} may do all that a worker needs")
    lacks = sorted(denied["worker"])
    needs = f"; a worker also needs {some(lacks)}"
    fix = f"ACL SETUSER {user} {' '.join(f'+{one}' for one in lacks)}, if a worker is to use it"
    if whole is not None:
        what = f"{called} may do what a {whole} needs{needs}"
        return Finding("rights", "ok" if whole == "reader" else "warning", what, fix)
    what = f"{called} may not even look: Redis refuses it {some(sorted(denied['reader']))}"
    return Finding("rights", "bad", what, "give it the rights of its role (docs/guide/security.md)")


def _size(size: int) -> str:
    for unit, least in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} bytes"
