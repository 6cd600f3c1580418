"""Whatever bytes lie in a stream: only CallUnreadable or CallTooNew come out, and soon."""

import struct
import tracemalloc
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobq.core.codec import MAX_CALL_BYTES, MAX_DEPTH, Codec
from jobq.errors import CallTooNew, CallUnreadable

CODEC = Codec()
GOOD = CODEC.encode_call(
    "mail.send",
    (1, "é", [date(2026, 1, 1), {Decimal("1.5")}], (1, (2, (3,))), 2**70, {"a": {"b": [None]}}),
    {"key": b"x", "other": frozenset([1])},
    {"r": 3},
)


def read(blob: bytes) -> None:
    """Read in every way; anything but the two errors fails the test."""
    with suppress(CallUnreadable):
        call = CODEC.decode_call(blob)
        assert type(call.name) is str
        assert type(call.args) is list
        assert all(type(key) is str for key in [*call.kwargs, *call.headers])
    with suppress(CallUnreadable):
        CODEC.decode_value(blob)
    name = CODEC.peek_name(blob)
    assert name is None or type(name) is str


def call(*args: object, **changes: Any) -> bytes:
    parts = {"version": 1, "name": "f", "args": list(args), "kwargs": None, "headers": None}
    return bytes(msgpack.packb([*{**parts, **changes}.values()]))


def refused(blob: bytes, match: str = ".") -> None:
    with pytest.raises(CallUnreadable, match=match) as caught:
        CODEC.decode_call(blob)
    assert not isinstance(caught.value, CallTooNew)
    assert len(str(caught.value)) < 500


@given(st.binary(max_size=300))
@example(b"")
@example(b"\xc1")
def test_any_bytes(blob: bytes) -> None:
    read(blob)


@given(
    st.binary(max_size=60), st.sampled_from([b"\x95\x01\xa1f", b"\x95\x01\xa1f\x91", b"\x95\x02"])
)
def test_any_bytes_that_begin_well(blob: bytes, head: bytes) -> None:
    read(head + blob)


@given(st.integers(0, 70), st.binary(max_size=60))
def test_any_bytes_in_any_extension(code: int, data: bytes) -> None:
    read(call(msgpack.ExtType(code, data)))


def test_a_call_that_is_cut_off() -> None:
    for length in range(len(GOOD)):
        refused(GOOD[:length])


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4))
def test_a_call_with_flipped_bytes(flips: list[tuple[int, int]]) -> None:
    blob = bytearray(GOOD)
    for position, byte in flips:
        blob[position] = byte
    read(bytes(blob))


@pytest.mark.parametrize(
    "blob",
    [
        call(version=0),
        call(version=-1),
        call(version=True),
        call(version=1.0),
        call(version=None),
        call(version=[]),
        call(version=128),
        call(version=2**63),
        call(name=""),
        call(name=b"f"),
        call(name=None),
        call(args=None),
        call(args={}),
        call(args="x"),
        call(kwargs=[]),
        call(kwargs={1: 2}),
        call(kwargs={b"a": 2}),
        call(headers=5),
        call(headers={None: 2}),
        call(more=1),
        call() + b"\x00",
        b"\x94" + call()[1:-1],
        b"\x80",
        b"\x01",
        b"\xa1f",
        b"\xff" * 100,
        call().replace(b"\xa1f", b"\xa1\xff"),
        b"\x95\x01\xa1f\x91\x81\x90\x01\xc0\xc0",  # a list as key
        b"\x95\x01\xa1f\x91\x81\x80\x01\xc0\xc0",  # a dict as key
    ],
)
def test_what_is_no_call(blob: bytes) -> None:
    refused(blob)


def test_newer_formats_are_told_apart() -> None:
    for blob in (call(version=2), b"\x93\x05\x01\x02", b"\x92\x7f\xc1", call(version=2, more=5)):
        with pytest.raises(CallTooNew) as caught:
            CODEC.decode_call(blob)
        assert 1 < caught.value.version < 128
    with pytest.raises(CallTooNew):
        CODEC.decode_call(b"\x92\x02\xc5\xff\xff" + b"x" * 0xFFFF + b"x" * MAX_CALL_BYTES)


def ext(code: int, data: bytes) -> bytes:
    return call(msgpack.ExtType(code, data))


@pytest.mark.parametrize(
    ("code", "data"),
    [
        *[(code, data) for code in (1, 2, 3, 13) for data in (b"", b"\x01", b"\x91", b"\x90\x90")],
        (2, b"\x91\x90"),
        (3, b"\x91\x80"),
        (4, b""),
        (4, b"\x01" * 4097),
        (5, b"\xff"),
        *[(6, data) for data in (b"", b"x", b"2026-13-01T00:00:00", b"2026-01-01[", b"\xff")],
        (6, b"2026-01-01T00:00:00[../../etc/passwd]"),
        (6, b"2026-01-01T00:00:00[\x00]"),
        (6, b"2026-01-01T00:00:00[]"),
        (6, b"2026-01-01T00:00:00+01:00[UTC]"),
        (6, b"/1"),
        (7, b"2026-01-01T00:00:00"),
        (7, b""),
        (8, b"25:00"),
        (8, b"01:00+01:00[UTC]"),
        (9, b"\x00" * 11),
        (9, struct.pack(">iii", 2**31 - 1, 0, 0)),
        (10, b"\x00" * 15),
        (11, b"x"),
        (11, b""),
        (11, b"1" * 4097),
        (11, "٣".encode()),
        (12, b""),
        (12, b"x/a"),
        (12, b"c\xff"),
        (13, b"\x92\xc0\x01"),
        (64, b""),
        (127, b"x"),
    ],
)
def test_garbage_in_extensions(code: int, data: bytes) -> None:
    refused(ext(code, data))


def test_what_another_worker_may_know_is_not_thrown_away() -> None:
    registered = msgpack.packb(["money", 5])
    for blob, said in [
        (ext(13, registered), "'money' is not registered here"),
        (ext(14, b""), "newer release"),
        (ext(6, b"2026-01-01T00:00:00[Mars/Olympus]"), "tzdata"),
    ]:
        with pytest.raises(CallTooNew, match=said):
            CODEC.decode_call(blob)


def test_a_decoder_that_fails_is_unreadable() -> None:
    codec = Codec()
    codec.register_type(type("Money", (), {}), name="money", encode=str, decode=lambda _: 1 // 0)
    with pytest.raises(
        CallUnreadable, match="decoder of 'money' raised ZeroDivisionError"
    ) as caught:
        codec.decode_call(ext(13, msgpack.packb(["money", 5])))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# ---------------------------------------------------------------------------- deep, wide, huge


def deep(depth: int, code: int | None = None) -> bytes:
    blob = b"\x01"
    for _ in range(depth):
        if code is None:
            blob = b"\x91" + blob
        else:
            blob = msgpack.packb(msgpack.ExtType(code, b"\x91" + blob))
    return b"\x95\x01\xa1f\x91" + blob + b"\xc0\xc0"


@pytest.mark.parametrize("code", [None, 1, 3])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 1020, 2000, 20_000])
def test_deep_nesting(code: int | None, depth: int) -> None:
    CODEC.decode_call(deep(MAX_DEPTH, code))
    refused(deep(depth, code))


def test_deep_nesting_by_turns_and_in_corners() -> None:
    tower: object = 1
    for level in range(40):
        tower = [tower] if level % 2 else msgpack.ExtType(1, msgpack.packb([tower]))
    refused(call(tower))
    lists: object = 1
    for _ in range(MAX_DEPTH + 1):
        lists = [lists]
    refused(call(kwargs={"a": lists}), "deeper")
    refused(call(headers={"a": lists}), "deeper")
    codec = Codec()
    codec.register_type(type("Money", (), {}), name="money", encode=str, decode=lambda plain: plain)
    with pytest.raises(CallUnreadable, match="deeper"):
        codec.decode_call(ext(13, msgpack.packb(["money", lists])))


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
@pytest.mark.parametrize("size", [2**32 - 1, MAX_CALL_BYTES, 4000])
def test_headers_that_claim_what_is_not_there(header: bytes, size: int) -> None:
    claim = header + struct.pack(">I", size)
    for blob in (claim, b"\x95\x01\xa1f\x91" + claim, b"\x95\x01" + claim, claim * 100):
        tracemalloc.start()
        read(blob)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000
        refused(blob)


@pytest.mark.parametrize("inside", [False, True])
def test_nested_headers_do_not_multiply(*, inside: bool) -> None:
    claims = (b"\xdd" + struct.pack(">I", 400_000)) * 1000
    blob = claims + b"\x01" * 400_000
    if inside:
        blob = msgpack.packb(msgpack.ExtType(1, blob))
    blob = b"\x95\x01\xa1f\x91" + blob
    tracemalloc.start()
    read(blob)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def test_three_megabytes() -> None:
    refused(b"\x95\x01\xa1f\x91" + b"\x01" * 3_000_000, "more than")
    refused(b"\xff" * 3_000_000, "more than")
    assert CODEC.peek_name(b"\x95\x01\xa1f\x91" + b"\x01" * 3_000_000) == "f"


# ---------------------------------------------------------------------------- peeking


def test_the_name_of_what_cannot_be_decoded() -> None:
    assert CODEC.peek_name(ext(64, b"")) == "f"
    assert CODEC.peek_name(call(version=9)) == "f"
    assert CODEC.peek_name(GOOD[:14]) == "mail.send"
    for blob in (b"", b"\x95", b"\x95\x01", b"\x95\x01\xa5ab", call(name=5), b"\x80", b"\x91\x01"):
        assert CODEC.peek_name(blob) is None
    assert CODEC.peek_name(call(name="x" * 10_000)) is None
