"""The names of keys, read: the table holds what `jobq.store.keys` makes."""

import inspect
import re
from collections.abc import Iterator

import pytest

from jobq.store import keys, keyspace

#: Types, as the docstrings of `keys` call them.
TYPES = {"sorted set": "zset"}


def made() -> Iterator[tuple[str, str, bool]]:
    """Go through the functions that make one key: the key, its type, whether it has a TTL."""
    for name, function in inspect.getmembers(keys, inspect.isfunction):
        said = inspect.getdoc(function) or ""
        found = re.match(r"Return the (stream|hash|sorted set|set|list|string) ", said)
        if name.startswith("_") or found is None:
            continue
        parameters = inspect.signature(function).parameters.values()
        args = [7 if one.annotation is int else "high" for one in parameters]
        kind = TYPES.get(found[1], found[1])
        yield function(*["mail", *args[1:]]), kind, bool(re.search(r"\bTTL\b", said))


@pytest.mark.parametrize(("key", "kind", "ends"), list(made()))
def test_each_key_is_read(key: str, kind: str, ends: bool) -> None:
    assert keyspace.read(key) == ("mail", keyspace.Kind(kind, ends))


def test_nothing_stands_in_the_table_that_nobody_makes() -> None:
    known = {key.partition("}:")[2] for key, _, _ in made()}
    known |= {"jobs:high", "jobs:low"}
    for name in keyspace.KINDS:
        assert name in known or any(name[-1] == ":" and one.startswith(name) for one in known), name


@pytest.mark.parametrize(
    "key",
    ["jobq:", "jobq:{}:jobs", "jobq:{a b}:jobs", "jobq:{a}:jobsx", "jobq:{a}:jobs:mid", "jobq:x",
     "jobq:{a}:", "jobq:{a}:meta:x", "jobq:{a}:JOBS", "other:{a}:jobs", "jobq:{\u20ac}:jobs"],
)  # fmt: skip
def test_what_is_no_key_of_jobq_is_told(key: str) -> None:
    assert keyspace.read(key)[1] is None


def test_keys_of_no_queue() -> None:
    assert keyspace.read(keys.QUEUES) == ("", keyspace.Kind("set"))
    assert keyspace.read(keys.jobs("a low")) == ("a", keyspace.Kind("stream"))
