"""Uniqueness keys: the same for the same calls, whatever way they are written."""

from dataclasses import dataclass
from datetime import date
from inspect import signature

import pytest

from jobq.core.codec import Codec
from jobq.core.uniqueness import By, Rule, Uniqueness
from jobq.errors import CallTooLarge, EnqueueError, NotEncodable

CODEC = Codec()


def function(a: object, b: object = 2, *rest: object, c: object = None, **more: object) -> None:
    """Take anything."""


def key(*args: object, by: By = "args", name: str = "mail.send", **kwargs: object) -> str:
    return Uniqueness(by, Rule()).key(name, signature(function), CODEC, args, kwargs)


def test_the_same_call_has_the_same_key_however_it_is_written() -> None:
    assert key(1) == key(a=1) == key(1, 2) == key(1, b=2) == key(b=2, a=1, c=None)
    assert key({"x": 1, "y": [{"p": 1, "q": 2}]}) == key({"y": [{"q": 2, "p": 1}], "x": 1})
    assert key(({"x": 1, "y": 2},)) == key(({"y": 2, "x": 1},))
    assert key(1, z=1, y=2) == key(1, y=2, z=1)
    # In a set of two that want the same place, the first one stands first.
    assert [*{0, 8}] != [*{8, 0}]
    assert key({0, 8}) == key({8, 0})
    assert key(frozenset((0, 8))) == key(frozenset((8, 0)))
    assert key({frozenset((0, 8)): 1}) == key({frozenset((8, 0)): 1})


def test_other_calls_have_other_keys() -> None:
    calls = [
        key(1),
        key(2),
        key("1"),
        key(1, 3),
        key(1, 2, 3),
        key(1, c=0),
        key(1, x=None),
        key((1,)),
        key([1]),
        key({1}),
        key(b"1"),
        key(1, name="mail.other"),
        key(by="name"),
        key(date(2030, 1, 1)),
    ]
    assert len(set(calls)) == len(calls)


def test_a_key_has_no_space_and_says_whose_it_is() -> None:
    assert key(1, name="send an e-mail").startswith("send+an+e-mail:")
    assert " " not in key(1, name="send an e-mail")
    assert key(name="a b", by="name") != key(name="a+b", by="name")
    assert key(1, by="name") == key(2, by="name")


def test_a_function_of_the_arguments() -> None:
    assert key(1, 5, by=lambda a, _: a) == key(1, 6, by=lambda a, _: a)
    assert key(1, 5, by=lambda _, b: b) != key(1, 6, by=lambda _, b: b)


def test_a_default_that_cannot_travel_is_no_matter() -> None:
    def other(a: int, lock: object = object()) -> None:
        pass

    unique = Uniqueness("args", Rule())
    same = unique.key("f", signature(other), CODEC, (1,), {})
    assert same == unique.key("f", signature(other), CODEC, (), {"a": 1})


def test_a_function_that_is_not_known_here() -> None:
    unique = Uniqueness("args", Rule())
    assert unique.key("f", None, CODEC, (1,), {}) == unique.key("f", None, CODEC, (1,), {})
    assert unique.key("f", None, CODEC, (1,), {}) != unique.key("f", None, CODEC, (), {"a": 1})


@dataclass
class Point:
    x: int
    y: object


def test_what_cannot_be_encoded_names_unique() -> None:
    assert key(by=lambda: Point(1, [2])) == key(by=lambda: {"y": [2], "x": 1})
    with pytest.raises(NotEncodable, match=r"^unique: mail\.send\(\): .*\.y.*has type object"):
        key(by=lambda: Point(1, object()))
    with pytest.raises(CallTooLarge, match="unique: "):
        key(by=lambda: "x" * 600_000)
    with pytest.raises(EnqueueError, match=r"the function of unique= raised ZeroDivisionError"):
        key(by=lambda: 1 / 0)
    with pytest.raises(EnqueueError, match=r"the function of unique= raised TypeError"):
        key(1, by=lambda: 1)
