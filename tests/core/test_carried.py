"""Headers of users: what may travel beside the arguments, and what is believed of it."""

import pytest

from jobq.core.carried import HEADER, MOST, MOST_BYTES, carried, check_headers
from jobq.errors import OptionError


def test_headers_are_copied() -> None:
    given = {"tenant": "acme", "x-place": "münchen\n"}
    checked = check_headers(given)
    assert checked == given
    assert checked is not given
    assert check_headers({}) == {}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("tenant=acme", "headers is a str; use a dict of str to str"),
        ([("a", "b")], "headers is a list"),
        ({1: "a"}, "the name '1'; use a str"),
        ({"": "a"}, "the name ''"),
        ({"a b": "a"}, "printable ASCII without spaces"),
        ({"ä": "a"}, "printable ASCII"),
        ({"n" * 101: "a"}, "1 to 100 characters"),
        ({"a": 1}, "headers['a'] is a int; use a str"),
        ({"a": None}, "NoneType"),
        ({"a": "\ud800"}, "lone surrogates"),
        ({str(number): "" for number in range(MOST + 1)}, "65 entries; use at most 64"),
        ({"a": "b" * MOST_BYTES}, "8193 bytes; use at most 8192, and arguments for data"),
        ({"a": "ü" * (MOST_BYTES // 2)}, "8193 bytes"),
    ],
)
def test_what_cannot_travel_is_told(value: object, says: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_headers(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [None, "text", 7, [], [["a", "b"]], {1: "a"}, {"a": 1}, {"a b": "c"}, {"a": "b" * 9000}],
)
def test_of_what_a_stranger_wrote_nothing_is_believed(found: object) -> None:
    assert carried({HEADER: found}) == {}
    assert carried({}) == {}


def test_what_is_right_beside_it_is() -> None:
    assert carried({HEADER: {"a": "1", "b": 2, 3: "c"}, "r": 1}) == {"a": "1"}
