"""Arguments of a call, changed."""

from datetime import UTC, datetime

import pytest

from jobq.core.edits import Assignment, assign, merge
from jobq.core.marks import WORD
from jobq.errors import OptionError

DATE = datetime(2026, 1, 2, tzinfo=UTC)


def set_(path: str, value: object) -> tuple[list[object], dict[str, object]]:
    args: list[object] = ["ada", (1, DATE)]
    kwargs: dict[str, object] = {"order": {"items": [1, 2], 7: "n"}, "at": DATE}
    changed = assign(args, kwargs, [Assignment.parse(path, value)])
    assert (args[0], kwargs["at"]) == ("ada", DATE), "what was given is not touched"
    return changed


def test_a_part_is_set_and_the_rest_stays() -> None:
    assert set_("args.0", "bob")[0] == ["bob", (1, DATE)]
    assert set_("args.1.0", 9)[0] == ["ada", (9, DATE)]
    assert set_("args.2", None)[0] == ["ada", (1, DATE), None]
    assert set_("kwargs.new", [1])[1]["new"] == [1]
    assert set_("kwargs.order.items.1", 3)[1]["order"] == {"items": [1, 3], 7: "n"}
    assert set_("kwargs.order.7", "m")[1]["order"] == {"items": [1, 2], 7: "m"}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("kwargs", "names no argument"),
        ("args..0", "names no argument"),
        ("name.0", "names no argument"),
        ("args.9", "there is no args.9; the last one is args.1"),
        ("args.x", "there is no args.x"),
        ("args.2.0", "there is no args.2"),
        ("args.99999999999999999999999", "there is no"),
        ("kwargs.nope.x", "there is no kwargs.nope"),
        ("args.0.x", "args.0 is a str"),
        ("kwargs.at.x", "kwargs.at is a datetime"),
    ],
)
def test_paths_that_lead_nowhere(path: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        set_(path, 1)


def test_what_was_not_edited_stays_what_it_was() -> None:
    original = {"at": DATE, "pair": (1, DATE), "n": 1, "secret": "s3cret", "gone": 1}
    shown = {"at": "2026", "pair": [1, "2026"], "n": 1, "secret": WORD, "gone": 1}
    edited = {"n": True, "pair": [2, "2026"], "at": "2026", "secret": WORD, "new": "x"}
    assert merge(original, shown, edited) == {
        "n": True, "pair": (2, DATE), "at": DATE, "secret": "s3cret", "new": "x",
    }  # fmt: skip
    assert merge([DATE], ["2026"], ["2026", 5]) == [DATE, 5]
    assert merge([DATE, 1], ["2026", 1], ["2026"]) == [DATE]


def test_a_value_that_is_not_shown_stays_where_it_was() -> None:
    with pytest.raises(OptionError, match="must stay where it was"):
        merge(["secret", 1], [WORD, 1], [1, WORD])
    with pytest.raises(OptionError, match="must stay where it was"):
        merge({"a": "secret"}, {"a": WORD}, {"b": WORD})
