"""Sensitive arguments: marked, shown as [redacted], and taken out of texts."""

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from inspect import signature
from uuid import UUID

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.codec import Codec
from jobq.core.marks import REDACTED, Marked, marks_of
from jobq.core.redact import Redactor, secrets_in, stub
from jobq.errors import OptionError

CODEC = Codec()
SECRET = "hunter2-and-more"


def login(user: str, password: str, /, token: str = "", *rest: str, host: str, **more: str) -> None:
    del user, password, token, rest, host, more


def narrow(user: str, password: str) -> None:
    del user, password


@pytest.mark.parametrize(
    ("function", "sensitive", "marks"),
    [
        (narrow, ("password",), [1, "password"]),
        (narrow, ("*",), ["*"]),
        (narrow, (), []),
        (login, ("password", "host"), [1, "host"]),
        (login, ("rest",), [-4]),
        (login, ("more",), ["**"]),
        (login, ("pin", "token"), ["pin", 2, "token"]),
    ],
)
def test_marks(
    function: Callable[..., None], sensitive: tuple[str, ...], marks: list[object]
) -> None:
    assert marks_of(sensitive, signature(function)) == marks


@pytest.mark.parametrize("name", ["passwort", "", "a b", "**"])
def test_a_wrong_name_is_told_with_the_parameters(name: str) -> None:
    with pytest.raises(OptionError, match="the parameters are: user, password"):
        marks_of((name,), signature(narrow))


@pytest.mark.parametrize(
    ("marks", "shown"),
    [
        ([1, "b"], "((1, [redacted], 3), {'a': 4, 'b': [redacted]})"),
        ([-2], "((1, [redacted], [redacted]), {'a': 4, 'b': 5})"),
        (["**"], "((1, 2, 3), {'a': [redacted], 'b': [redacted]})"),
        (["*"], "(([redacted], [redacted], [redacted]), {'a': [redacted], 'b': [redacted]})"),
        ([], "((1, 2, 3), {'a': 4, 'b': 5})"),
    ],
)
def test_what_is_shown(marks: object, shown: str) -> None:
    assert repr(Marked(marks).shown([1, 2, 3], {"a": 4, "b": 5})) == shown


@pytest.mark.parametrize("marks", [None, 5, "a", {}, [None], [1.5], [True], [[1]]])
def test_marks_of_a_stranger_hide_everything(marks: object) -> None:
    assert Marked(marks).shown([1], {"a": 2}) == ((REDACTED,), {"a": REDACTED})


@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        json.dumps,
        lambda one: f"https://ada:{one}@example.org",
        lambda one: f"{one}{one} twice",
        lambda one: f"cut: {one[:13]}... and {one[:14]}",
        lambda one: repr([{"a": one}]),
        lambda one: repr(one.encode()),
    ],
)
@pytest.mark.parametrize(
    "secret",
    [SECRET, 'it\'s "quoted"\nover two lines', "mit Umläuten äöü und mehr", "\\back\\slash"],
)
def test_values_are_found_however_they_are_written(
    write: Callable[[str], str], secret: str
) -> None:
    text = Redactor([secret]).text(f"KeyError: {write(secret)} (line 12)")
    assert secret[:10] not in text
    assert repr(secret)[1:11] not in text
    assert "[redacted]" in text
    assert text.startswith("KeyError: ")
    assert text.endswith(" (line 12)")


def test_values_in_containers_and_of_other_types() -> None:
    raw = b"by\x00tes"
    values = [
        {"deep": [(SECRET, {4711_0815}, None, True, 3.14159)]},
        raw,
        date(1815, 12, 10),
        Decimal("12.50"),
        UUID(int=7),
    ]
    text = Redactor(values).text(
        f"{values!r} {raw.hex()} 1815-12-10 {UUID(int=7)} 12.50 deep None True"
    )
    for hidden in (SECRET, "47110815", "3.14159", "tes", "1815-12", "12.50", str(UUID(int=7))):
        assert hidden not in text
    assert text.endswith("deep None True")


def test_numbers_are_whole_words() -> None:
    text = Redactor([4711, -815, 10**5000, 12]).text("4711 147110 4711.5 v4711 -815. 12 (4711)")
    assert text == "[redacted] 147110 4711.5 v4711 [redacted]. 12 ([redacted])"


def test_short_values_and_the_word_itself_stay() -> None:
    assert Redactor(["abc", "redacted", "act"]).text("abc [redacted] act") == "abc [redacted] act"


@given(st.lists(st.text(max_size=12), max_size=8), st.text(max_size=60))
def test_any_values_in_any_text(values: list[str], around: str) -> None:
    text = Redactor(values).text(around + "".join(values))
    left = text.replace("[redacted]", "\0")
    assert not [one for one in values if len(one) >= 4 and "\0" not in one and one in left]


def test_too_much_to_look_for_is_dropped_whole() -> None:
    many = [f"value number {n}" for n in range(2000)]
    assert Redactor(many).text("value number 7 " * 5000) == "[redacted]"


# ---------------------------------------------------------------------------- calls


class Money:
    def __init__(self, plain: object = None) -> None:
        self.plain = plain


def sent(*args: object, marks: tuple[object, ...] = (0,), **kwargs: object) -> bytes:
    codec = Codec()
    codec.register_type(Money, name="money", encode=lambda _: ["EUR", SECRET], decode=Money)
    return codec.encode_call("f", args, kwargs, {"s": [*marks]} if marks else None)


def test_secrets_of_calls_whose_types_are_not_known() -> None:
    found = secrets_in(sent((1, (Money(),)), "open"))
    assert SECRET in repr(found)
    assert "open" not in repr(found)
    assert SECRET not in Redactor(found).text(f"the decoder raised KeyError: {SECRET!r}")
    assert secrets_in(sent("a", marks=())) == []
    assert secrets_in(sent("a", "b", marks=()), [1]) == ["b"]
    assert secrets_in(sent("a", "b"), [1]) == ["b", "a"]


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\x95\x01", b"\x91" * 5000, sent("a")[:-1]])
def test_garbage_has_no_secrets(blob: bytes) -> None:
    assert secrets_in(blob) == []
    assert stub(blob) == blob


@given(st.binary(max_size=80))
def test_any_bytes(blob: bytes) -> None:
    secrets_in(b"\x95\x01\xa1f\x91" + blob)
    stub(blob)


def test_a_stub_has_a_name_and_no_arguments() -> None:
    kept = stub(sent(Money(), "x" * 5000))
    assert msgpack.unpackb(kept) == [1, "f", "[redacted]"]
    assert CODEC.peek_name(kept) == "f"
    plain = sent(Money(), marks=())
    assert stub(plain) is plain
