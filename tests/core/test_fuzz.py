"""Every decoder against bytes that nobody wrote: only the documented errors, and soon."""

import json
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobq.core import result, signing
from jobq.core.codec import Codec
from jobq.core.head import read_head
from jobq.core.history import AttemptRecord, History
from jobq.core.ids import check_job_id
from jobq.core.letter import Letter
from jobq.core.options import Policy, policy_with
from jobq.core.outcome import Failure
from jobq.errors import CallUnreadable, OptionError, ResultUnreadable
from jobq.runtime.describe import enqueued_ms
from jobq.runtime.hello import Hello
from jobq.store.ops import control
from tests.support.mutants import mutants

#: The most memory that reading a small blob may take, in bytes: what nested headers can claim
#: within the limit from which on they are looked at before.
MOST = 30_000_000

CODEC = Codec()
SIGNER = signing.Signer({"2026": b"sixteen bytes or more"})
HISTORY = History(2, 5).add(AttemptRecord(1, 2**41, "crashed", "E", "é" * 50, "trace\n" * 9))
FAILURE = Failure("ValueError", "no \x1b[31m", "Traceback")
CALL = CODEC.encode_call(
    "mail.send",
    (1, "é", [date(2026, 1, 1), {Decimal("1.5")}], (1, (2,)), 2**70, timedelta(days=1), -1.5),
    {"key": b"x", "odd": frozenset([1, "\ud800"]), "deep": [[[[[{"a": [None, True]}]]]]]},
    {"r": 3},
)


def read_policy(blob: bytes) -> object:
    return policy_with(Policy(), read_head(blob).headers)


def read_command(blob: bytes) -> object:
    fields: tuple[list[bytes], ...] = (
        [b"action", blob[:9], b"target", blob[9:]],
        [blob, blob],
        [blob] * 8,
        [],
    )
    return [control.read("0-0").parse([[b"1-1", row]]) for row in fields]


def read_id(blob: bytes) -> object:
    return check_job_id(blob.decode("utf-8", "surrogateescape"))


def read_moment(blob: bytes) -> object:
    return enqueued_ms(blob, b"1700000000000-0")


@dataclass(frozen=True)
class Decoder:
    """What reads bytes, what it may raise, and bytes that it can read."""

    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    good: bytes


DECODERS = {
    "call": Decoder(CODEC.unpack_call, (CallUnreadable,), CALL),
    "name": Decoder(CODEC.peek_name, (), CALL),
    "head": Decoder(read_head, (), CALL),
    "policy": Decoder(read_policy, (CallUnreadable,), CALL),
    "value": Decoder(CODEC.decode_value, (CallUnreadable,), CODEC.encode_value([1, {"a": (2,)}])),
    "history": Decoder(History.decode, (CallUnreadable,), HISTORY.encode()),
    "letter": Decoder(
        Letter.decode, (CallUnreadable,), Letter("used up", FAILURE, 3, 2**41, HISTORY).encode()
    ),
    "result": Decoder(
        lambda blob: result.decode(blob, CODEC),
        (ResultUnreadable,),
        result.SUCCEEDED_HEAD + CODEC.encode_value({"a": [1, (2, 3)]}),
    ),
    "failure": Decoder(
        lambda blob: result.decode(blob, CODEC), (ResultUnreadable,), result.dead("E", "m", "t", 3)
    ),
    "state": Decoder(result.state_of, (), result.dead("E", "m", "t", 3)),
    "signed": Decoder(
        lambda blob: SIGNER.open("mail", b"id", blob),
        (CallUnreadable,),
        SIGNER.sign("mail", "id", CALL),
    ),
    "signed by": Decoder(
        lambda blob: (signing.signed_by(blob), signing.inner(blob), signing.without_keys(blob)),
        (),
        SIGNER.sign("mail", "id", CALL),
    ),
    "id": Decoder(read_id, (OptionError,), b"01jd6v0m3n"),
    "moment": Decoder(read_moment, (), b"1700000000000-0"),
    "command": Decoder(read_command, (), b"cancel 01jd6v0m3n"),
}
every_decoder = pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS.keys())


def read(decoder: Decoder, blob: bytes) -> object:
    """Read; anything but the documented errors fails the test."""
    try:
        return decoder.read(blob)
    except decoder.errors as error:
        return f"{error}"


@every_decoder
def test_good_bytes_are_read(decoder: Decoder) -> None:
    decoder.read(decoder.good)


@every_decoder
@settings(max_examples=40)
@given(blob=st.binary(max_size=200))
def test_any_bytes(decoder: Decoder, blob: bytes) -> None:
    read(decoder, blob)
    read(decoder, decoder.good[:5] + blob)


@every_decoder
def test_mutants(decoder: Decoder) -> None:
    for blob in mutants(decoder.good, 500):
        read(decoder, blob)


@pytest.mark.slow
@pytest.mark.timeout(300)
@every_decoder
def test_many_mutants(decoder: Decoder) -> None:
    for blob in mutants(decoder.good, 50_000, seed=8):
        read(decoder, blob)


def bombs(good: bytes) -> Iterator[bytes]:
    """Make small bytes that claim to be, or are, much more than they are."""
    for head in (b"", good[:1], good[:2], good[:12], good[:30]):
        for depth in (33, 511, 1023, 1025, 4000):
            yield head + b"\x91" * depth
            yield head + b"\x91" * depth + b"\xc0"
            yield head + b"\x81\xa1a" * depth + b"\xc0"
        for header in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
            for size in (2**32 - 1, 2**31, 400_000, 4000, 700):
                claim = header + struct.pack(">I", size)
                yield head + claim
                yield head + claim * 800
                yield head + claim * 100 + b"\x01" * 3500
        tower = b"\xc0"
        for _ in range(60):
            tower = msgpack.packb(msgpack.ExtType(1, b"\x91" + tower))
        yield head + tower
        yield head + msgpack.packb(msgpack.ExtType(4, b"\x7f" * 4096))
        yield head + msgpack.packb(msgpack.ExtType(11, b"9" * 4096))
        yield head + msgpack.packb(msgpack.ExtType(11, b"1e999999999"))
        yield head + b"9" * 5000


@every_decoder
def test_bombs(decoder: Decoder) -> None:
    for blob in bombs(decoder.good):
        tracemalloc.start()
        try:
            read(decoder, blob)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MOST, f"{len(blob)} bytes took {peak}: {blob[:60]!r}"


@pytest.mark.parametrize(
    "decoder", [DECODERS[one] for one in ("call", "value", "history", "letter", "head")]
)
@pytest.mark.parametrize("header", [b"\xdd", b"\xdf"])
def test_large_bytes_that_claim_more(decoder: Decoder, header: bytes) -> None:
    claims = (header + struct.pack(">I", 390_000)) * 1000 + b"\x01" * 390_000
    for blob in (claims, decoder.good[:2] + claims):
        tracemalloc.start()
        read(decoder, blob)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000_000


GREETING = {
    "url": "redis://x", "safe_url": "redis://x", "app": "a", "queues": ["q"], "jobs": ["j"],
    "lease": 30.0, "policies": {"j": [3, None, True, None, None, 3, 300.0]},
}  # fmt: skip
#: What `Child.listen` expects; nothing else may end a supervisor.
HELLO_ERRORS = (ValueError, TypeError, LookupError, AttributeError)


def hello(line: bytes) -> None:
    try:
        said = Hello.decode(line)
        said.policy_for("j")
        said.policy_for("other")
    except HELLO_ERRORS:
        pass


def test_what_a_worker_prints_into_its_greeting() -> None:
    """User code has the pipe too, if it looks for it."""
    good = json.dumps(GREETING).encode()
    for blob in mutants(good, 1000):
        hello(blob)
    for key in GREETING:
        values: list[object] = [None, 1, "x", [], {}, [[]], 10**400]
        values += [{"j": 1}, {"j": []}, {"j": [1] * 7}]
        for value in values:
            changed: dict[str, Any] = {**GREETING, key: value}
            hello(json.dumps(changed).encode())
    for blob in (b"", b"\n", b"null", b"[]", b"{}", b"1" * 5000, b"NaN", b"\xff", b'"\\ud800"'):
        hello(blob)


@pytest.mark.parametrize("nested", [b"[", b'{"a":'])
def test_a_greeting_that_is_nested_deep(nested: bytes) -> None:
    hello(nested * 100_000)
