"""The head of a call, read without its arguments."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.codec import MAX_CALL_BYTES, Codec
from jobq.core.head import Head, read_head

CALL = Codec().encode_call("mail.send", ({"to": "x"}, [1, 2]), {"n": {3}}, {"r": 5, "t": 1.5})


def test_name_and_options() -> None:
    assert read_head(CALL) == ("mail.send", {"r": 5, "t": 1.5})
    assert read_head(Codec().encode_call("f", (), {}, None)) == ("f", {})


def test_a_signed_call_is_looked_through() -> None:
    signed = msgpack.packb([2, "key", bytes(32), CALL])
    assert read_head(signed) == ("mail.send", {"r": 5, "t": 1.5})
    assert read_head(msgpack.packb([2, "key", bytes(32), signed])) == Head(), "once"


def test_arguments_are_not_decoded() -> None:
    """Not even those that would raise."""
    unknown = msgpack.packb([1, "f", [msgpack.ExtType(77, b"\xff")], None, None])
    assert read_head(unknown) == ("f", {})


@pytest.mark.parametrize(
    "call",
    [
        b"",
        b"\xff",
        msgpack.packb("text"),
        msgpack.packb([]),
        msgpack.packb([1, "f"]),
        msgpack.packb([3, "f", [], None, None]),
        msgpack.packb([True, "f", [], None, None]),
        msgpack.packb([1, 7, [], None, None]),
        msgpack.packb([1, "f", [], None, ["r"]]),
        msgpack.packb([2, "key", b"mac", "text"]),
        CALL[:-1],
        b"\x95\x01\xa1f\x90\xc0\xdd\xff\xff\xff\xff",  # an array of 4 GiB
        b"\x95\x01\xa1f\x90\xc0" + b"\x91" * 100_000,  # deeper than any stack
        b"\x00" * (MAX_CALL_BYTES + 1),
    ],
)
def test_of_what_is_no_call_it_is_empty(call: bytes) -> None:
    assert read_head(call) == Head()


@given(st.binary(max_size=200))
def test_garbage_raises_nothing(call: bytes) -> None:
    assert isinstance(read_head(call), Head)


@given(st.integers(0, len(CALL) - 1), st.binary(max_size=4))
def test_damaged_calls_raise_nothing(at: int, put: bytes) -> None:
    assert isinstance(read_head(CALL[:at] + put + CALL[at + len(put) :]), Head)
