"""`--color`: everywhere, and before the environment."""

from collections.abc import Iterator

import click
import pytest

from jobq.cli import output
from jobq.cli.main import cli
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run

BOLD = "\x1b[1m"


def commands(group: click.Group, ctx: click.Context, path: str = "") -> Iterator[click.Command]:
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found is not None
        yield found
        if isinstance(found, click.Group):
            yield from commands(found, ctx, f"{path} {name}")


def test_each_command_takes_it_and_none_but_the_first_shows_it() -> None:
    ctx = click.Context(cli)
    every = list(commands(cli, ctx))
    assert len(every) > 30
    for command in every:
        [option] = [one for one in command.params if "--color" in one.opts]
        assert isinstance(option, click.Option)
        assert option.hidden, command.name
    assert "--color [auto|always|never]" in cli.get_help(ctx)


@pytest.mark.parametrize(
    ("words", "colours"),
    [
        (["job", "show", "one"], False),
        (["--color", "always", "job", "show", "one"], True),
        (["job", "--color", "always", "show", "one"], True),
        (["job", "show", "one", "--color=always"], True),
        (["--color", "always", "job", "show", "one", "--color", "never"], False),
        (["job", "show", "one", "--color", "auto"], False),
    ],
)
def test_it_goes_before_the_environment(
    run: Run, undertaker: Undertaker, words: list[str], colours: bool
) -> None:
    """The environment says NO_COLOR here."""
    undertaker.enqueue(job_id="one")
    ran = run(*words)
    assert ran.code == 0
    assert (BOLD in ran.out) is colours
    assert output.wanted.get() == "auto", "the next one starts anew"


def test_never_goes_before_force_color(
    run: Run, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    undertaker.enqueue(job_id="one")
    assert BOLD in run("job", "show", "one").out
    assert BOLD not in run("job", "show", "one", "--color", "never").out


def test_errors_are_coloured_too(run: Run, redis_url: str) -> None:
    assert run("job", "show", "x").err.startswith("jobq: no job x")
    assert run("job", "show", "x", "--color", "always").err.startswith("\x1b[31mjobq:\x1b[0m")


def test_it_takes_three_words(run: Run) -> None:
    ran = run("queues", "--color", "blue")
    assert ran.code == 2
    assert "'auto', 'always', 'never'" in ran.err
