"""What cannot travel: the error names the place, and nothing is too deep, too many, too big."""

import sys
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from threading import Thread, stack_size
from typing import Any

import pytest
from pydantic import BaseModel

from jobq.core.codec import MAX_CALL_BYTES, MAX_DEPTH, Codec
from jobq.errors import CallTooLarge, NotEncodable


class Color(Enum):
    RED = "red"


@pytest.fixture
def codec() -> Codec:
    return Codec()


def trip(value: object) -> object:
    codec = Codec()
    return codec.decode_call(codec.encode_call("f", (value,), {})).args[0]


class Strange:
    pass


class Broken(BaseModel):
    x: int

    def model_dump(self, **_options: Any) -> dict[str, Any]:
        raise ZeroDivisionError


@dataclass(frozen=True)
class Holder:
    content: object


@pytest.mark.parametrize(
    ("value", "path", "type_name", "hint"),
    [
        (Strange(), "", "Strange", "register_type"),
        (["a", [Strange()]], "[1][0]", "Strange", r"str\(value\)"),
        ({"a": {"b": Strange()}}, "['a']['b']", "Strange", "jobq can send None, bool"),
        ({(1, Strange()): 1}, ", key (1, <", "Strange", "register_type"),
        ({Strange()}, "{<", "Strange", "register_type"),
        (Holder((1, Holder(Strange()))), ".content[1].content", "Strange", "register_type"),
        (Broken(x=1), "", "Broken", "raised ZeroDivisionError"),
        ([Broken(x=1)], "[0]", "Broken", "raised ZeroDivisionError"),
        ({Holder(1)}, "{Holder(content=1)}", "Holder", "Use a list"),
        ({Holder((1,)): 1}, ", key Holder", "Holder", "Use a list"),
        ({Color.RED: 1, "red": 2}, "", "dict", "keys become the same"),
        ([2**40_000], "[0]", "int", "more than 4096 bytes"),
        (Decimal("1" * 5000), "", "decimal.Decimal", "more than 4096"),
        (Strange, "", "type", "Send its name"),
        (trip, "", "function", "Code does not travel"),
        (sys, "", "module", "Code does not travel"),
        (ValueError("x"), "", "ValueError", r"str\(value\)"),
        (iter([1]), "", "list_iterator", r"list\(value\)"),
        (range(3), "", "range", r"list\(value\)"),
        (1j, "", "complex", "value.real"),
        (sys.stderr, "", None, "Open files"),
    ],
)
def test_the_culprit_is_named(
    codec: Codec, value: object, path: str, type_name: str | None, hint: str
) -> None:
    with pytest.raises(NotEncodable, match=hint) as caught:
        codec.encode_call("send", ("x", value), {}, None, lambda key: f"p{key}")
    assert caught.value.path.startswith(f"send(p1=…): argument 'p1'{path}")
    assert path or caught.value.path.endswith("'p1'")
    assert type_name is None or caught.value.type_name.split(".")[-1] == type_name.split(".")[-1]
    with pytest.raises(NotEncodable) as caught:
        codec.encode_value(value)
    assert caught.value.path.startswith("the result" + path)


def test_arguments_are_named_as_well_as_possible(codec: Codec) -> None:
    with pytest.raises(
        NotEncodable, match=r"^send\(to=…\): argument 'to' has type .*Strange, which"
    ):
        codec.encode_call("send", (), {"to": Strange()})
    with pytest.raises(NotEncodable, match=r"^send\(\): argument 2 has type "):
        codec.encode_call("send", (1, Strange()), {})
    with pytest.raises(NotEncodable, match=r"the name of an argument has type int"):
        codec.encode_call("send", (), {1: Strange()})  # type: ignore[dict-item]
    with pytest.raises(NotEncodable, match=r"an option\['x'\] has type"):
        codec.encode_call("send", (), {}, {"x": Strange()})
    with pytest.raises(NotEncodable, match="its name"):
        codec.encode_call("\ud800", (), {})


def test_a_tzinfo_without_a_sound_offset_is_refused(codec: Codec) -> None:
    class Nowhere(tzinfo):
        def utcoffset(self, _moment: datetime | None) -> None:
            return None

        def dst(self, _moment: datetime | None) -> None:
            return None

        def tzname(self, _moment: datetime | None) -> None:
            return None

    odd = timezone(timedelta(microseconds=1))
    for moment in (
        datetime(2026, 1, 1, tzinfo=Nowhere()),
        datetime(2026, 1, 1, tzinfo=odd),
        time(1, 2, tzinfo=odd),
    ):
        with pytest.raises(NotEncodable, match="ZoneInfo"):
            codec.encode_value(moment)


# ---------------------------------------------------------------------------- bounds


def nested(depth: int, wrap: Any) -> object:
    value: object = 1
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS = pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: (value,),
        lambda value: {"a": value},
        lambda value: [value] if isinstance(value, dict) else {"a": value},
        lambda value: frozenset([value]),
        lambda value: (value,) if isinstance(value, list) else [value],
    ],
)


@WRAPS
def test_the_deepest_that_may_travel_does(codec: Codec, wrap: Any) -> None:
    value = nested(MAX_DEPTH, wrap)
    assert trip(value) == value
    assert codec.decode_value(codec.encode_value(value)) == value


@WRAPS
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 600])
def test_deeper_is_refused(codec: Codec, wrap: Any, depth: int) -> None:
    value = nested(depth, wrap)
    with pytest.raises(NotEncodable, match=r"argument 1 has type .* deeper than 32 levels"):
        codec.encode_call("f", (value,), {})
    with pytest.raises(NotEncodable, match="deeper than 32 levels"):
        codec.encode_value(value)


def test_records_are_bounded_too(codec: Codec) -> None:
    assert trip(nested(MAX_DEPTH, Holder)) == nested(MAX_DEPTH, lambda value: {"content": value})
    for depth in (MAX_DEPTH + 1, 3000):
        with pytest.raises(NotEncodable, match="deeper"):
            codec.encode_value(nested(depth, Holder))


def test_what_contains_itself_is_refused(codec: Codec) -> None:
    loop: list[object] = []
    loop += [loop, loop, {"a": loop}]
    with pytest.raises(NotEncodable, match="contains itself"):
        codec.encode_value(loop)
    with pytest.raises(NotEncodable, match="deeper"):
        codec.encode_value(nested(100_000, lambda value: [value]))


@pytest.mark.parametrize("wrap", [list, tuple])
def test_few_objects_that_are_many_values_are_refused(codec: Codec, wrap: Any) -> None:
    laughs: object = 1
    for _ in range(MAX_DEPTH):
        laughs = wrap([laughs, laughs, Color.RED])
    with pytest.raises(CallTooLarge):
        codec.encode_value(laughs)
    wide: object = [1] * 1000
    for _ in range(10):
        wide = wrap([wide] * 1000)
    with pytest.raises(CallTooLarge):
        codec.encode_value(wide)


@pytest.mark.parametrize(
    "value", ["x" * MAX_CALL_BYTES, b"x" * MAX_CALL_BYTES, [0] * MAX_CALL_BYTES]
)
def test_too_many_bytes_are_refused(codec: Codec, value: object) -> None:
    with pytest.raises(CallTooLarge, match="the call of f has more than 512 KiB"):
        codec.encode_call("f", (value,), {})
    with pytest.raises(CallTooLarge, match=r"the call of f|512 KiB"):
        codec.encode_call("f", (value, Color.RED), {})
    with pytest.raises(CallTooLarge, match="the result has more than 512 KiB"):
        codec.encode_value(value)


def test_the_largest_call_comes_back(codec: Codec) -> None:
    value = b"x" * (MAX_CALL_BYTES - 20)
    assert codec.decode_call(codec.encode_call("f", (value,), {})).args == [value]


def test_the_deepest_tuple_fits_on_a_small_stack(codec: Codec) -> None:
    blob = codec.encode_value(nested(MAX_DEPTH, lambda value: (value,)))
    seen: list[object] = []
    before = stack_size(256 * 1024)
    try:
        thread = Thread(target=lambda: seen.append(codec.decode_value(blob)))
        thread.start()
        thread.join()
    finally:
        stack_size(before)
    assert seen == [nested(MAX_DEPTH, lambda value: (value,))]
