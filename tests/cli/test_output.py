"""What people see."""

from datetime import UTC, datetime, timedelta
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.cli import output, shapes

NOW = datetime(2026, 11, 24, 8, 9, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("plain ümlaut 漢字 🙂", "plain ümlaut 漢字 🙂"),
        ("\x1b[2Ja\x1b[31;1mb\x1b[0m", "ab"),
        ("\x9b31ma", "a"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bP1$r\x1b\\b", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1b(0b", "ab"),
        ("a\x1b", "a"),
        ("a\x1b[", "a"),
        ("a\x1b]no end", "ano end"),
        ("a\x00b\x07c\x08d\x7fe", "abcde"),
        ("a\u202eb\u2066c\u2069d\u200be\ufefff", "abcdef"),
        ("a\ud800b", "ab"),
        ("a\tb", "a   b"),
        ("a\r\nb\nc\u2028d", "a b c d"),
    ],
)
def test_clean(hostile: str, harmless: str) -> None:
    assert output.clean(hostile) == harmless


def test_clean_keeps_lines_where_they_are_wanted() -> None:
    assert output.clean("a\n  b\r\nc\x1b[A\n", lines=True) == "a\n  b\nc\n"


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    for found in (output.clean(text), output.clean(text, lines=True).replace("\n", "")):
        assert not {category(char) for char in found} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert not set(found) & {"\x1b", "\x9b", "\r", "\n", "\x07", "\u202e", "\u2028"}
        found.encode()


@pytest.mark.parametrize("start", ["\x1b[", "\x1b]", "\x9d", "\x90", "\x1b", "\x1b[0", "\x1b[ "])
def test_much_hostile_text_takes_no_time(start: str) -> None:
    assert len(output.clean(start * 300_000)) <= 300_000
    assert len(output.clean(start + "0" * 600_000)) <= 600_001


def test_a_table_is_as_wide_as_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(
        ("ID", "N", "ERROR"),
        [("abc", "1", "x" * 100), ("漢字", "1,000", "y")],
        right=("N",),
        cuttable=("ERROR",),
    )
    assert capsys.readouterr().out.splitlines() == [
        "ID        N  ERROR",
        "abc       1  " + "x" * 26 + "…",
        "漢字  1,000  y",
    ]


def test_what_may_not_be_cut_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    output.table(("ID", "ERROR"), [("i" * 26, "e" * 50)], cuttable=("ERROR",))
    assert capsys.readouterr().out.splitlines()[1] == "i" * 26 + "  eeeeeee…"


def test_the_widest_column_is_cut_first(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("j" * 30, "e" * 100, "1")
    output.table(("JOB", "ERROR", "N"), [row], cuttable=("JOB", "ERROR"))
    assert capsys.readouterr().out.splitlines()[1] == "j" * 16 + "…  " + "e" * 17 + "…  1"


def test_wide_and_combining_characters() -> None:
    assert output.width("aé漢") == 4
    assert output.width("e\u0301") == 1
    assert output.cut("漢字漢字", 5) == "漢字…"
    assert output.cut("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (0.9, "now"),
        (5.7, "5 s ago"),
        (59, "59 s ago"),
        (200, "3 m ago"),
        (3 * 3600 + 59 * 60, "3 h ago"),
        (1106 * 86400, "1106 d ago"),
        (-5, "in 5 s"),
        (-7200, "in 2 h"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert output.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_moments() -> None:
    assert output.ago(None, NOW) == ""
    assert output.utc(None) == ""
    assert output.utc(NOW) == "2026-11-24 08:09:10 UTC"
    assert shapes.instant(NOW) == "2026-11-24T08:09:10.000Z"


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({}, False),  # no terminal here
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_colours(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    colours: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert output.coloured() is colours
    assert output.paint("a", "red") == ("\x1b[31ma\x1b[0m" if colours else "a")


def test_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.columns() == 40
    monkeypatch.setenv("COLUMNS", "wide")
    assert output.columns() == 80


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Odd(), "<Odd: its repr raised RuntimeError>"),
        ({(1, 2): True, None: 1, b"a": 2}, {"[1, 2]": True, "null": 1, "a": 2}),
        ({"b", "a"}, ["a", "b"]),
        (1 << 63, 1 << 63),
        (-(1 << 63) - 1, str(-(1 << 63) - 1)),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00+00:00"),
        (b"a\"'\\", "a\"\\'\\\\"),
    ],
)
def test_values_in_json(value: object, expected: object) -> None:
    assert shapes.plain(value) == expected
    assert shapes.dump(shapes.plain(value)).isascii()
