"""Calls and results to bytes and back: any value that can travel, within any other."""

import math
import sys
from collections import OrderedDict, defaultdict, namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, computed_field

from jobq.core.codec import Codec
from jobq.errors import ConfigError, NotEncodable

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]).map(
    ZoneInfo
)
OFFSETS = st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
TZINFOS = st.none() | st.just(UTC) | ZONES | OFFSETS
TEXTS = st.text(st.characters(), max_size=20)  # lone surrogates too
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**2000), 2**2000)
    | st.floats()
    | TEXTS
    | st.binary(max_size=20)
    | st.builds(datetime.combine, st.dates(), st.times(), TZINFOS).flatmap(
        lambda moment: st.sampled_from([moment, moment.replace(fold=1)])
    )
    | st.dates()
    | st.builds(time.replace, st.times(), tzinfo=TZINFOS, fold=st.sampled_from([0, 1]))
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | NAMES.map(Path)
    | NAMES.map(PurePosixPath)
    | NAMES.map(PureWindowsPath)
)


def is_hashable(value: object) -> bool:
    return not (isinstance(value, Decimal) and value.is_snan())


KEYS = st.recursive(
    LEAVES.filter(is_hashable),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    LEAVES | KEYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(KEYS, max_size=4)
        | st.frozensets(KEYS, max_size=4)
    ),
    max_leaves=12,
)


def image(value: object) -> object:
    """Return something that is equal for equal values of equal types, nan and zones too."""
    match value:
        case list() | tuple():
            return type(value), [image(item) for item in value]
        case set() | frozenset():
            return type(value), sorted((image(item) for item in value), key=repr)
        case dict():
            return dict, [(image(key), image(item)) for key, item in value.items()]
        case datetime() | time():
            return type(value), repr(value.tzinfo), value.fold, value.replace(tzinfo=None)
    return type(value), repr(value)


@pytest.fixture
def codec() -> Codec:
    return Codec()


def trip(value: object, codec: Codec | None = None) -> object:
    """Return a value after a journey as an argument."""
    codec = codec or Codec()
    decoded = codec.decode_call(codec.encode_call("f", (value,), {"key": value}))
    assert image(decoded.args) == image([decoded.kwargs["key"]])
    return decoded.args[0]


@given(VALUES)
def test_any_value_comes_back(value: object) -> None:
    assert image(trip(value)) == image(value)
    codec = Codec()
    assert image(codec.decode_value(codec.encode_value(value))) == image(value)


@given(st.lists(VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_call_comes_back(args: list[object], kwargs: dict[str, object]) -> None:
    codec = Codec()
    headers = {"r": 3, "b": ["f", 1.5]}
    call = codec.decode_call(codec.encode_call("mail.send", tuple(args), kwargs, headers))
    assert call.name == "mail.send"
    assert image(call.args) == image(args)
    assert image(call.kwargs) == image(kwargs)
    assert call.headers == headers


def test_a_call_is_the_documented_array(codec: Codec) -> None:
    blob = codec.encode_call("mail.send", ("ada", 1), {"subject": "Hi"}, {"r": 5})
    assert msgpack.unpackb(blob) == [1, "mail.send", ["ada", 1], {"subject": "Hi"}, {"r": 5}]
    assert msgpack.unpackb(codec.encode_call("f", (), {})) == [1, "f", [], None, None]
    assert codec.decode_call(codec.encode_call("f", (), {})) == ("f", [], {}, {})
    assert codec.encode_value(None) == b"\xc0"


def test_the_codes_never_change(codec: Codec) -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1)
    for value, code, data in [
        ((1,), 1, b"\x91\x01"),
        ({1}, 2, b"\x91\x01"),
        (frozenset({1}), 3, b"\x91\x01"),
        (2**64, 4, b"\x01" + b"\x00" * 8),
        (-(2**63) - 1, 4, b"\xff\x7f" + b"\xff" * 7),
        ("\ud800", 5, b"\xed\xa0\x80"),
        (moment, 6, b"2026-10-25T02:30:00[Europe/Berlin]/1"),
        (datetime(2026, 1, 1, tzinfo=UTC), 6, b"2026-01-01T00:00:00+00:00"),
        (datetime(2026, 1, 1), 6, b"2026-01-01T00:00:00"),  # noqa: DTZ001  naive ones travel too
        (date(2026, 1, 2), 7, b"2026-01-02"),
        (time(1, 2, 3), 8, b"01:02:03"),
        (timedelta(days=-1, seconds=2), 9, b"\xff\xff\xff\xff\0\0\0\x02\0\0\0\0"),
        (UUID(int=1), 10, b"\0" * 15 + b"\x01"),
        (Decimal("1.50"), 11, b"1.50"),
        (Path("/a/b"), 12, b"c/a/b"),
        (PurePosixPath("a"), 12, b"pa"),
        (PureWindowsPath("a/b"), 12, b"wa\\b"),
    ]:
        assert msgpack.unpackb(codec.encode_value(value)) == msgpack.ExtType(code, data)


def test_a_timestamp_of_another_language_is_a_datetime(codec: Codec) -> None:
    blob = msgpack.packb([1, "f", [msgpack.Timestamp(1)], None, None])
    assert codec.decode_call(blob).args == [datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]


# ---------------------------------------------------------------------------- what changes


class Color(Enum):
    RED = "red"
    DEEP = ("a", 1)


class Level(IntEnum):
    HIGH = 3


class Mode(StrEnum):
    FAST = "fast"


class Bits(Flag):
    A = 1
    B = 2


Point = namedtuple("Point", "x y")  # noqa: PYI024  the plain kind


class Text(str):
    __slots__ = ()


class Moment(datetime):
    pass


@dataclass
class Item:
    name: str
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Order:
    items: list[Item]
    color: Color = Color.RED


class Model(BaseModel):
    when: date
    order: Order

    @computed_field  # type: ignore[prop-decorator]
    @property
    def year(self) -> int:
        return self.when.year


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Color.RED, "red"),
        (Color.DEEP, ("a", 1)),
        (Level.HIGH, 3),
        (Mode.FAST, "fast"),
        (Bits.A | Bits.B, 3),
        (Point(1, Color.RED), (1, "red")),
        (Text("x"), "x"),
        (OrderedDict(a=Text("x")), {"a": "x"}),
        (defaultdict(list, {1: [2]}), {1: [2]}),
        (type("L", (list,), {})([1]), [1]),
        (type("B", (bytes,), {})(b"x"), b"x"),
        (type("F", (float,), {})(1.5), 1.5),
        (type("I", (int,), {})(2**70), 2**70),
        (Moment(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        (Item("a", {"t"}), {"name": "a", "tags": {"t"}}),
        (Order([Item("a")]), {"items": [{"name": "a", "tags": set()}], "color": "red"}),
        (
            Model(when=date(2026, 1, 1), order=Order([])),
            {"when": date(2026, 1, 1), "order": {"items": [], "color": "red"}},
        ),
        (RootModel[list[int]]([1, 2]), [1, 2]),
        ({Color.RED: 1, Level.HIGH: 2}, {"red": 1, 3: 2}),
        ({Color.RED, Color.DEEP}, {"red", ("a", 1)}),
        ({Point(1, 2): 1}, {(1, 2): 1}),
    ],
)
def test_what_arrives_as_plain_data(value: object, plain: object) -> None:
    assert image(trip(value)) == image(plain)
    assert image(trip([{"in": (value,)}])) == image([{"in": (plain,)}])


def test_a_model_of_another_library_needs_only_model_dump() -> None:
    class Odd:
        def model_dump(self, mode: str) -> dict[str, str]:
            return {"mode": mode}

    assert trip(Odd()) == {"mode": "python"}


# ---------------------------------------------------------------------------- registered types


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.cents == other.cents

    def __hash__(self) -> int:
        return self.cents

    def __repr__(self) -> str:
        return f"Money({self.cents})"


class Euro(Money):
    pass


def with_money(**functions: Any) -> Codec:
    codec = Codec()
    functions = {"encode": lambda money: {"cents": money.cents}, **functions}
    functions = {"decode": lambda plain: Money(plain["cents"]), **functions}
    codec.register_type(Money, name="money", **functions)
    return codec


def test_registered_types_travel_anywhere() -> None:
    codec = with_money()
    value = [Money(1), {Money(2): (Money(3),)}, {Money(4)}, Euro(5)]
    assert trip(value, codec) == [Money(1), {Money(2): (Money(3),)}, {Money(4)}, Money(5)]
    assert codec.decode_value(codec.encode_value(Money(1))) == Money(1)


def test_a_registered_type_comes_before_what_jobq_would_do() -> None:
    codec = Codec()
    codec.register_type(
        Color, name="color", encode=lambda color: color.name, decode=Color.__getitem__
    )
    assert trip([Color.RED], codec) == [Color.RED]


@pytest.mark.parametrize("cls", [int, str, list, dict, datetime, Decimal, object, "Money", None])
def test_types_of_jobq_cannot_be_registered(codec: Codec, cls: Any) -> None:
    with pytest.raises(ConfigError, match="is not a type that can be registered"):
        codec.register_type(cls, name="x", encode=str, decode=lambda plain: plain)


def test_names_and_types_are_registered_once() -> None:
    codec = with_money()
    codec.register_type(Money, name="money", encode=lambda _: 1, decode=lambda _: Money(1))
    with pytest.raises(ConfigError, match="'money' is taken by Money"):
        codec.register_type(Item, name="money", encode=str, decode=Item)
    with pytest.raises(ConfigError, match="Money is 'money' already"):
        codec.register_type(Money, name="cash", encode=str, decode=Money)
    for name in ("", "a\nb", "x" * 201, None):
        with pytest.raises(ConfigError, match="name is"):
            codec.register_type(Item, name=name, encode=str, decode=Item)  # type: ignore[arg-type]


def test_an_encoder_that_fails_is_told() -> None:
    with pytest.raises(
        NotEncodable, match="The encoder of 'money' raised ZeroDivisionError"
    ) as caught:
        with_money(encode=lambda _: 1 // 0).encode_call("f", (Money(1),), {})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(NotEncodable, match="The encoder of 'money' made a list of it"):
        with_money(encode=lambda _: [object()]).encode_call("f", (Money(1),), {})
    with pytest.raises(NotEncodable, match="contains itself"):
        with_money(encode=lambda money: money).encode_call("f", (Money(1),), {})


# ---------------------------------------------------------------------------- threads


def test_one_codec_serves_many_threads(codec: Codec) -> None:
    def work(number: int) -> bool:
        value = [number, (number, Color.RED), {"x" * number: {Decimal(number)}}, str(number)]
        expected = [number, (number, "red"), {"x" * number: {Decimal(number)}}, str(number)]
        return all(
            codec.decode_value(codec.encode_value(value)) == expected
            and codec.decode_call(codec.encode_call("f", (number, "x" * number), {})).args
            == [number, "x" * number]
            for _ in range(50)
        )

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
    finally:
        sys.setswitchinterval(before)


def test_an_encoder_may_use_the_codec() -> None:
    codec = Codec()
    codec.register_type(
        Money,
        name="money",
        encode=lambda money: codec.encode_value((money.cents,)),
        decode=lambda plain: Money(codec.decode_value(plain)[0]),  # type: ignore[index]
    )
    assert trip([Money(1), Money(2)], codec) == [Money(1), Money(2)]


def test_a_failure_leaves_no_trace(codec: Codec) -> None:
    for _ in range(3):
        with pytest.raises(NotEncodable):
            codec.encode_call("f", ("left over", [object()]), {})
        assert codec.encode_value("x") == b"\xa1x"


def test_floats_keep_their_oddities() -> None:
    assert math.isnan(trip(math.nan))  # type: ignore[arg-type]
    assert trip(-math.inf) == -math.inf
    assert math.copysign(1, trip(-0.0)) == -1  # type: ignore[arg-type]
