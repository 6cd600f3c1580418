"""The head of a call: its name and its options, read without looking at its arguments.

A supervisor has to settle the attempts of dead workers, and decodes nothing that users send.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgpack

from jobq.core.bounds import scan
from jobq.core.codec import FORMAT
from jobq.core.signing import inner


class Head(NamedTuple):
    """What a call says beside its arguments.

    Attributes:
        name: the name of the job function; empty: it cannot be read.
        headers: the options of this call, see `jobq.core.options`.
    """

    name: str = ""
    headers: Mapping[str, object] = MappingProxyType({})


def read_head(call: bytes) -> Head:
    """Return the head of a call, signed or not; signatures are not checked, for nothing is run.

    Whatever the bytes are, nothing is raised: of a call that cannot be read the head is empty.
    """
    try:
        return _read(inner(call))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  msgpack raises many kinds over garbage
        return Head()


def _read(call: bytes) -> Head:
    scan(call)
    unpacker = msgpack.Unpacker(read_size=len(call), max_buffer_size=len(call))
    unpacker.feed(call)
    parts = unpacker.read_array_header()
    version: object = unpacker.unpack()
    if type(version) is not int or version != FORMAT or parts != 5:  # True is equal to 1
        return Head()
    name: object = unpacker.unpack()
    unpacker.skip()  # arguments
    unpacker.skip()  # those by name
    headers: object = unpacker.unpack()
    if not isinstance(name, str) or not isinstance(headers, dict | None):
        return Head()
    return Head(name, {key: value for key, value in (headers or {}).items() if type(key) is str})
