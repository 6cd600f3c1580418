"""What a worker says while it stops, and the sizes that its options take."""

import click
import pytest

from jobq.cli import finishing
from jobq.cli.finishing import SELDOM, Lines, OnTerminal
from jobq.cli.options import byte_size, duration
from tests.support.standing import Time


def test_on_a_terminal_one_line_is_written_over(capsys: pytest.CaptureFixture[str]) -> None:
    tell = OnTerminal()
    for progress in ((3, 11.9), (3, 11.5), (3, 10.95), (1, 0.0), (0, 0.0), None):
        tell(progress)
    said = capsys.readouterr().err.split("\r")
    assert [line.removesuffix("\x1b[K") for line in said if line] == [
        "finishing 3 jobs, 12 s left; again to give them back",
        "finishing 3 jobs, 11 s left; again to give them back",
        "finishing 1 job, 0 s left; again to give it back",
        "",
    ]


def test_elsewhere_a_line_when_something_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    clock = Time()
    tell = Lines(said.append, clock)
    for running in (3, 3, 2, 2):
        tell((running, 90.0))
        clock.now += SELDOM / 2
    clock.now += SELDOM
    tell((2, 9.0))
    tell(None)
    assert said == [
        "stopping: finishing 3 jobs, 1 m 30 s left; again to give them back",
        "stopping: finishing 2 jobs, 1 m 30 s left; again to give them back",
    ]
    idle: list[str] = []
    Lines(idle.append)((0, 25.0))
    assert idle == ["stopping"]
    finishing.finishing("text")((0, 1.0))
    assert capsys.readouterr().err == "stopping\n"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("512m", 512_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1GiB", 1 << 30),
        ("64kib", 65536),
        ("1000000", 1_000_000),
        ("10B", 10),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "much", "1e9", "0", "5 XB", "9" * 20 + "T"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no size"):
        byte_size(text)


def test_durations() -> None:
    assert duration("25s") == 25
    assert duration("0") == 0
    with pytest.raises(click.BadParameter, match="not a duration"):
        duration("soon")
