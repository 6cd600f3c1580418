"""Fingerprints of failures."""

import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.fingerprint import (
    DIGITS,
    MAX_SAMPLE_CHARS,
    Group,
    fingerprint,
    frames,
    group_of,
)
from jobq.core.outcome import Failure

TRACEBACK = """\
Traceback (most recent call last):
  File "/srv/app/shop/jobs.py", line 7, in send
    charge(user)
  File "/srv/app/shop/cards.py", line 12, in charge
    raise CardDeclined(user)
shop.cards.CardDeclined: no user 7
"""


def of(text: str, error: str = "shop.cards.CardDeclined", message: str = "", job: str = "a") -> str:
    return fingerprint(job, Failure(error, message, text))


def test_a_fingerprint_is_stable_from_release_to_release() -> None:
    assert of(TRACEBACK) == "5147d209da7b"


@pytest.mark.parametrize(
    "same",
    [
        TRACEBACK.replace("/srv/app/", "C:\\build\\"),
        TRACEBACK.replace("line 12", "line 999"),
        TRACEBACK.replace("charge(user)", "charge(user, now)"),
        TRACEBACK.replace("user 7", "user 8"),
    ],
)
def test_what_does_not_count(same: str) -> None:
    assert of(TRACEBACK) == of(same, message="no user 8")


@pytest.mark.parametrize(
    "other",
    [
        of(TRACEBACK.replace("in charge", "in refund")),
        of(TRACEBACK.replace("cards.py", "banks.py")),
        of(TRACEBACK, error="KeyError"),
        of(TRACEBACK, job="b"),
        of("\n".join(TRACEBACK.splitlines()[:3])),
    ],
)
def test_what_counts(other: str) -> None:
    assert of(TRACEBACK) != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("killed by signal 9, after 3.5 s", "killed by signal 11, after 70 s"),
        ("<object at 0x7fb64df8b380>", "<object at 0xDEADBEEF>"),
        ("7f1b2c3d-0000-4000-8000-00000000000a?", "8f1b2c3d-1111-4000-8000-00000000000b?"),
        ("job 01m87bkccd6kdahrvz80mkr8yk is gone", "job 01m87bq8c549aehf7ce4v3rk8w is gone"),
        ("no 'ada'", "no 'bob'"),
    ],
)  # fmt: skip
def test_messages_count_where_there_is_no_frame(one: str, other: str) -> None:
    assert of("", message=one) == of("", message=other)
    assert of("", message=one) != of("", message="something else")


def test_real_tracebacks() -> None:
    def down(n: int) -> None:
        if n == 0:
            raise KeyError(n)
        down(n - 1)

    texts, caught = [], []
    for depth in (5, 500):
        try:
            down(depth)
        except KeyError as error:
            caught.append(error)
            texts.append("".join(traceback.format_exception(error)))
    assert of(texts[0]) == of(texts[1][-8000:]), "a recursion, of which the start was cut off"
    both = ExceptionGroup("two", [caught[0], ValueError(1)])
    grouped = frames("".join(traceback.format_exception(both)))
    assert grouped[0] == "test_fingerprint.py test_real_tracebacks"
    assert grouped[1] == "test_fingerprint.py down"


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_the_texts_are(job: str, error: str, message: str, text: str) -> None:
    failure = Failure(error, message, text)
    group = group_of(job, failure)
    assert re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", group.fingerprint)
    assert len(group.sample) <= MAX_SAMPLE_CHARS
    read = Group.decode(group.fingerprint, group.encode())
    assert read.fingerprint == group.fingerprint
    if (job + error + message).isprintable():
        assert read == group


@given(st.binary(max_size=40))
def test_garbage_in_the_place_of_a_group(blob: bytes) -> None:
    assert Group.decode("x", blob).fingerprint == "x"


def test_a_huge_text_takes_no_time() -> None:
    of("", message="a" * 300_000 + "'" * 300_000)
    of('  File "' * 100_000)
