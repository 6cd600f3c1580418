"""Envelopes: what is signed opens, whatever was changed does not, and nothing shows a secret."""

import copy

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobq.core.bounds import MAX_CALL_BYTES
from jobq.core.codec import Codec
from jobq.core.head import read_head
from jobq.core.signing import (
    Signer,
    inner,
    make_signer,
    signed_by,
    split_keys,
    without_keys,
)
from jobq.errors import CallTooNew, CallUntrusted, ConfigError

SECRET = "correct horse battery staple"
OLDER = b"\x00\xff" * 16
CALL = Codec().encode_call("mail.send", ("ada@example.org",), {}, {"r": 3})


def signer(*, accept_unsigned: bool = False, **keys: str | bytes) -> Signer:
    made = make_signer(
        keys or {"new": SECRET, "old": OLDER}, accept_unsigned=accept_unsigned, what="signing_keys"
    )
    assert made is not None
    return made


def named(key_id: str) -> Signer:
    made = make_signer({key_id: SECRET}, accept_unsigned=False, what="signing_keys")
    assert made is not None
    return made


@pytest.mark.parametrize("size", [0, 1, 200, 255, 256, 70_000, MAX_CALL_BYTES])
@pytest.mark.parametrize("key_id", ["a", "2026-11", "k" * 31, "k" * 32, "k" * 64])
def test_what_is_signed_opens(size: int, key_id: str) -> None:
    both = named(key_id)
    call = CALL * (size // len(CALL)) + CALL[: size % len(CALL)]
    blob = both.sign("mail", "job-1", call)
    assert both.open("mail", b"job-1", blob) == call
    assert (inner(blob), signed_by(blob)) == (call, key_id)
    version, said, mac, inside = msgpack.unpackb(blob)
    assert (version, said, len(mac), inside) == (2, key_id, 32, call)


def test_every_key_opens_and_the_first_one_signs() -> None:
    both = signer()
    assert both.key_ids == ("new", "old")
    assert signed_by(both.sign("mail", "1", CALL)) == "new"
    assert both.open("mail", b"1", signer(old=OLDER).sign("mail", "1", CALL)) == CALL


def test_a_call_belongs_to_its_job_and_queue() -> None:
    blob = signer().sign("mail", "12", CALL)
    for queue, job_id in [("mail", b"1"), ("mai", b"l12"), ("mail1", b"2"), ("", b"mail12")]:
        with pytest.raises(CallUntrusted, match="bad signature") as caught:
            signer().open(queue, job_id, blob)
        assert caught.value.reason == "bad signature"


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_changed_byte_passes(at: int, change: int) -> None:
    blob = bytearray(signer().sign("mail", "1", CALL))
    blob[at % len(blob)] ^= change
    with pytest.raises((CallUntrusted, CallTooNew)):
        signer().open("mail", b"1", bytes(blob))


def test_a_call_that_is_cut_off_or_goes_on() -> None:
    blob = signer().sign("mail", "1", CALL)
    for wrong in [blob[:length] for length in range(len(blob))] + [blob + b"\x00"]:
        with pytest.raises(CallUntrusted, match="not signed"):
            signer().open("mail", b"1", wrong)
        assert inner(wrong) == wrong


@given(st.binary(max_size=100))
@example(b"\x94\x02")
@example(b"\x94\x02\xd9")
@example(b"\x94\x02\xdd\xff\xff\xff\xff")
@example(b"\x94\x02\xa1k\xc4\x20" + b"m" * 32 + b"\xc6\xff\xff\xff\xff")
def test_garbage_comes_back_as_it_is(blob: bytes) -> None:
    for one in (blob, b"\x94\x02" + blob):
        assert inner(one) == one
        assert signed_by(one) == ""
        assert without_keys(one) is None
        with pytest.raises(CallUntrusted, match="not signed"):
            signer().open("mail", b"1", one)


def test_a_wrong_secret_says_what_to_compare() -> None:
    blob = signer(new="another secret, which is long").sign("mail", "1", CALL)
    with pytest.raises(CallUntrusted, match="secrets of producer and worker differ"):
        signer().open("mail", b"1", blob)


def test_who_lacks_a_key_leaves_the_call_to_others() -> None:
    blob = named("2027").sign("mail", "1", CALL)
    with pytest.raises(CallTooNew, match="key '2027', which this worker does not have: add it"):
        signer().open("mail", b"1", blob)
    with pytest.raises(CallTooNew):  # a worker of a release that knows of no signatures, too
        Codec().decode_call(blob)
    assert "JOBQ_SIGNING_KEYS" in str(without_keys(blob))


def test_unsigned_calls_pass_where_they_may() -> None:
    lenient = signer(accept_unsigned=True)
    assert lenient.open("mail", b"1", CALL) == CALL
    bad = bytearray(lenient.sign("mail", "1", CALL))
    bad[-1] ^= 1
    with pytest.raises(CallUntrusted, match="bad signature"):
        lenient.open("mail", b"1", bytes(bad))


def test_a_supervisor_reads_the_head_through_the_envelope() -> None:
    large = Codec().encode_call("f", (b"x" * (MAX_CALL_BYTES - 60),), {}, {"r": 1})
    for call in (CALL, large):
        assert read_head(signer().sign("mail", "1", call)) == read_head(call)
        assert read_head(call).name


# ---------------------------------------------------------------------------- keys


def test_nothing_shows_a_secret() -> None:
    both = signer()
    assert repr(both) == "<Signer keys=new, old>"
    for shown in (repr(both), str(both), f"{[both]}"):
        assert "horse" not in shown
    for copier in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="secrets"):
            copier(both)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"a": "short-secret"}, "'a' has 12 bytes; use 16 or more"),
        ({"a": 5}, "is a int; use str or bytes"),
        ({"": SECRET}, "the id of a key is ''"),
        ({"a b": SECRET}, "the id of a key is 'a b'"),
        ({"a:b": SECRET}, "the id of a key is"),
        ({"é": SECRET}, "printable ASCII"),
        ({"k" * 65: SECRET}, "1 to 64"),
        ({5: SECRET}, "the id of a key is 5"),
        ([SECRET], "is a list; use a dict, such as"),
    ],
)
def test_keys_that_cannot_be_used(keys: dict[str, str | bytes], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        make_signer(keys, accept_unsigned=False, what="signing_keys")
    assert "horse" not in str(caught.value)
    assert "short-secret" not in str(caught.value)


def test_no_keys_are_no_signer() -> None:
    assert make_signer({}, accept_unsigned=True, what="signing_keys") is None


def test_keys_out_of_a_variable() -> None:
    assert split_keys("2026-11:a:b, old:c,", "X") == {"2026-11": "a:b", "old": "c"}
    for text, said in [("horse", "X has a part without a colon"), ("a:1,a:2", "'a' twice")]:
        with pytest.raises(ConfigError, match=said) as caught:
            split_keys(text, "X")
        assert "horse" not in str(caught.value)
