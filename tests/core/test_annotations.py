"""Arguments become again what the annotations say."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from enum import Enum, IntEnum
from functools import partial, wraps
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NewType,
    Optional,
    TypeVar,
    Union,
)

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field

from jobq.core.annotations import Rebuild, rebuilder
from jobq.core.codec import Codec
from jobq.errors import ArgumentError

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    DEEP = ("a", 1)


class Level(IntEnum):
    HIGH = 3


Shade = NewType("Shade", Color)


@dataclass
class Item:
    name: str
    color: Color = Color.RED


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    items: list[Item]
    by_name: dict[str, Item] = field(default_factory=dict)
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", len(self.items))


@dataclass
class Node:
    color: Color
    below: Node | None = None


@dataclass
class Box(Generic[T]):
    content: T


@dataclass
class NeedsMore:
    x: int
    more: InitVar[int]


@dataclass
class Picky:
    x: int

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x is negative")


class Spot(NamedTuple):
    x: int
    color: Color


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    color: Color
    item: Item
    size: int = Field(1, validation_alias=AliasChoices("s"), serialization_alias="S")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.size


def travelled(function: Any, *args: object, **kwargs: object) -> tuple[list[Any], dict[str, Any]]:
    """Return arguments as they are after a journey and a rebuild."""
    codec = Codec()
    call = codec.decode_call(codec.encode_call("f", args, kwargs))
    rebuild = rebuilder(function)
    assert isinstance(rebuild, Rebuild)
    return rebuild.apply(call.args, call.kwargs)


VALUES: list[tuple[Any, object]] = [
    (Color, Color.RED),
    (Color, Color.DEEP),
    (Level, Level.HIGH),
    (Optional[Color], None),  # noqa: UP045  the old way to write it
    (Union[Color, int], 5),  # noqa: UP007  as above
    (Color | None, Color.RED),
    (list[Color], [Color.RED, Color.DEEP]),
    (Sequence[Color], [Color.RED]),
    (Iterable[Color], (Color.RED,)),
    (set[Color], {Color.RED, Color.DEEP}),
    (frozenset[Color], frozenset([Color.RED])),
    (tuple[Color, ...], (Color.RED, Color.RED)),
    (tuple[int, Color], (1, Color.RED)),
    (dict[str, Color], {"a": Color.RED}),
    (dict[Color, int], {Color.DEEP: 1}),
    (Mapping[Color, list[Color]], {Color.DEEP: [Color.RED]}),
    (Shade, Color.RED),
    (Annotated[Color, "pretty"], Color.RED),
    (Annotated[list[Annotated[Color, 1]], 2], [Color.RED]),
    (Item, Item("a")),
    (Order, Order(items=[Item("a", Color.DEEP)], by_name={"b": Item("b")})),
    (list[Order | Item], [Order(items=[]), Item("a")]),
    (Node, Node(Color.RED, Node(Color.DEEP, Node(Color.RED)))),
    (Box[int], Box(5)),
    (Spot, Spot(1, Color.RED)),
    (dict[str, list[Spot]], {"a": [Spot(1, Color.DEEP)]}),
    (Model, Model.model_validate({"color": "red", "item": Item("a", Color.DEEP), "s": 7})),
    (list[Model] | None, [Model.model_validate({"color": "red", "item": Item("a")})]),
    (Model | Item, Item("a")),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES)
def test_values_are_rebuilt_wherever_they_stand(annotation: Any, value: object) -> None:
    def function(x: int, y: Any, /, z: Any, *more: Any, named: Any = None, **rest: Any) -> None: ...

    for name in ("y", "z", "more", "named", "rest"):
        function.__annotations__[name] = annotation
    args, kwargs = travelled(function, 1, value, value, value, value, named=value, other=value)
    assert args == [1, value, value, value, value]
    assert kwargs == {"named": value, "other": value}
    assert [type(one) for one in args[1:]] == [type(value)] * 4
    assert travelled(function, 1, value, z=value) == ([1, value], {"z": value})
    assert travelled(function, 1) == ([1], {})


def plain_1(a: int, b: str = "x", *c: bytes, d: list[int], **e: dict[str, Any]) -> None: ...
def plain_2(a, b=1, *c, d=None, **e) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN003
def plain_3(a: T, b: Any, c: object, d: None, e: type[Color], f: list[T]) -> T: ...  # type: ignore[empty-body]


@pytest.mark.parametrize("function", [plain_1, plain_2, plain_3, print, len, dict.get])
def test_what_needs_no_rebuild_costs_nothing(function: Any) -> None:
    assert rebuilder(function) is None


def test_the_annotation_of_the_result_does_not_matter() -> None:
    def function(_x: int) -> Color: ...  # type: ignore[empty-body]

    assert rebuilder(function) is None


def test_a_class_may_be_defined_below_the_function() -> None:
    module: dict[str, Any] = {"__name__": "late"}
    exec("def f(x: 'Late', y: int): ...", module)  # noqa: S102  a module in the making
    rebuild = rebuilder(module["f"])
    assert rebuild is not None
    module["Late"] = Color
    assert rebuild.apply(["red", 1], {}) == ([Color.RED, 1], {})


def unresolvable(a: Missing, b: Color, c: Missing.more = None, *d: 1 + Missing) -> None: ...  # type: ignore[valid-type]


def test_what_cannot_be_resolved_is_left_as_it_is() -> None:
    assert travelled(unresolvable, {"a": 1}, Color.RED, c=5) == ([{"a": 1}, Color.RED], {"c": 5})

    def local(a: Missing, b: int) -> None: ...

    assert travelled(local, [1], b=5) == ([[1]], {"b": 5})


def test_a_field_that_cannot_be_resolved_keeps_its_plain_data() -> None:
    @dataclass
    class Half:
        known: Color
        unknown: Missing

    def function(x: Any) -> None: ...

    function.__annotations__["x"] = Half
    assert travelled(function, Half(Color.RED, {"a": 1}))[0] == [Half(Color.RED, {"a": 1})]


class Service:
    def method(self, color: Color) -> None: ...

    @classmethod
    def of_class(cls, color: Color) -> None: ...

    @staticmethod
    def static(color: Color) -> None: ...

    def __call__(self, color: Color) -> None: ...


def paint(surface: str, color: Color, *, level: Level = Level.HIGH) -> None: ...


@wraps(paint)
def wrapped(*args: Any, **kwargs: Any) -> None:
    paint(*args, **kwargs)


@pytest.mark.parametrize("function", [Service().method, Service.of_class, Service.static])
def test_methods(function: Any) -> None:
    assert travelled(function, Color.RED) == ([Color.RED], {})
    assert travelled(function, color=Color.RED) == ([], {"color": Color.RED})


def test_partials_and_wrappers() -> None:
    assert travelled(partial(paint, "wall"), Color.RED) == ([Color.RED], {})
    assert travelled(partial(paint, color=Color.RED), "x", level=3)[1] == {"level": Level.HIGH}
    assert travelled(partial(Service().method), Color.RED) == ([Color.RED], {})
    assert travelled(wrapped, "wall", Color.RED, level=3) == (
        ["wall", Color.RED],
        {"level": Level.HIGH},
    )


def test_none_as_default_is_none() -> None:
    def function(x: Color = None, *, y: list[Item] = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert travelled(function, None, y=None) == ([None], {"y": None})
    assert travelled(function, Color.RED, y=[Item("a")]) == ([Color.RED], {"y": [Item("a")]})


def test_more_arguments_than_parameters_are_left_for_the_call_to_refuse() -> None:
    def function(x: Color) -> None: ...

    assert travelled(function, Color.RED, 2, 3, y=5) == ([Color.RED, 2, 3], {"y": 5})


def test_what_is_rebuilt_already_is_left_alone() -> None:
    def function(x: Item, y: Color, z: Spot) -> None: ...

    rebuild = rebuilder(function)
    assert rebuild is not None
    values: list[object] = [Item("a"), Color.RED, Spot(1, Color.RED)]
    assert rebuild.apply(values, {}) == (values, {})


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (Color, "blue", r"argument 'x' is 'blue', which is not a value of Color"),
        (Color, ["unhashable"], r"argument 'x' is \['unhashable'\], which is not a value of Color"),
        (list[Color], ["red", "blue"], r"argument 'x'\[1\] is 'blue'"),
        (list[Color], 5, r"argument 'x' is 5, which has no items"),
        (tuple[int, Color], (1,), r"not a tuple of 2 items"),
        (dict[str, Color], {"a": "blue"}, r"argument 'x'\['a'\] is 'blue'"),
        (dict[Color, int], {"blue": 1}, r"argument 'x' key is 'blue'"),
        (dict[Color, int], [1], r"not a dict"),
        (Order, {"items": [{"name": "a", "color": "blue"}]}, r"argument 'x'\.items\[0\]\.color is"),
        (Item, {"color": "red"}, r"cannot become a Item: .*'name'"),
        (Item, {"name": "a", "zzz": 1}, r"has the field 'zzz', which Item has not"),
        (Item, {1: 2}, r"has the field 1,"),
        (Item, "x", r"argument 'x' is 'x', which is not the data of a Item"),
        (Picky, {"x": -1}, r"cannot become a Picky: x is negative"),
        (NeedsMore, {"x": 1}, r"cannot become a NeedsMore: .*more"),
        (Spot, (1,), r"not the data of a Spot"),
        (Model, {"color": "blue"}, r"is not a valid Model: (?s:.*)color"),
        (Order | Item, {"zzz": 1}, r"has the field 'zzz', which Order has not"),
    ],
)
def test_what_cannot_be_rebuilt_names_the_argument(
    annotation: Any, value: object, said: str
) -> None:
    def function(x: Any, *more: Any, **rest: Any) -> None: ...

    for name in ("x", "more", "rest"):
        function.__annotations__[name] = annotation
    with pytest.raises(ArgumentError, match=rf"function\(x=…\): .*{said}"):
        travelled(function, value)
    with pytest.raises(ArgumentError, match=r"argument '\*more\[0\]'"):
        travelled(partial(function, 1), value)
    with pytest.raises(ArgumentError, match="argument 'other'"):
        travelled(function, other=value)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type statements came with 3.12")
def test_type_statements() -> None:
    module: dict[str, Any] = {"__name__": "new", "Color": Color}
    exec("type Colors = list[Color]\ndef f[T](x: Colors, y: T): ...", module)  # noqa: S102
    assert travelled(module["f"], [Color.RED], 1) == ([[Color.RED], 1], {})
