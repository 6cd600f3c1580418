"""What strangers may put where jobq's calls are."""

import os

import msgpack

from jobq.core.codec import Codec

CODEC = Codec()


def deep(levels: int) -> bytes:
    """Return lists in lists, so many."""
    return b"\x91" * levels + b"\xc0"


def packed(version: object, name: object, args: object) -> bytes:
    """Return what looks like a call from afar."""
    return bytes(msgpack.packb([version, name, args, None, None]))


def call(name: str, *args: object, version: int = 1) -> bytes:
    """Return a call; of any format but the first, only its head."""
    if version == 1:
        return CODEC.encode_call(name, args, {}, None)
    return packed(version, name, list(args))


#: What no worker can read, as the fields of an entry.
UNREADABLE: dict[str, list[bytes]] = {
    "no call": [b"id1", b""],
    "any bytes": [b"\xff\xfe\x00", b"\x80\x81\x82"],
    "text": [b"field", b"value"],
    "an empty id": [b"", b""],
    "several fields": [b"a", b"1", b"b", b"2", b"c", b"3"],
    "version 0": [b"id2", call("jobs.short", 1, version=0)],
    "a version of text": [b"id3", bytes(msgpack.packb(["1", "jobs.short", [], None, None]))],
    # 0xc1 begins nothing in msgpack: by chance alone it could look like a call of a newer release.
    "3 MB": [b"id4", b"\xc1" + os.urandom(3_000_000)],
    "3 MB of a call": [b"id5", packed(1, "jobs.short", ["x" * 3_000_000])],
    "deep": [b"id6", deep(10_000)],
    "deep inside a call": [b"id7", b"\x95\x01\xaajobs.short\x91" + deep(200) + b"\xc0\xc0"],
    "a length that lies": [b"id8", b"\xdd\xff\xff\xff\xff"],
    "escape sequences": [b"\x1b[31mred\n", b"\x1b]0;title\x07"],
    "a name that is no text": [b"id9", bytes(msgpack.packb([1, 7, [], None, None]))],
    "options of the wrong kind": [
        b"id10", bytes(msgpack.packb([1, "jobs.short", [1], None, {"r": "many"}]))
    ],
    "braces": [b"{a}:b jobs", b"\xc1"],
}  # fmt: skip
