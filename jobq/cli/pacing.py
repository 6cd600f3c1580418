"""How `jobq dlq retry` does it: its options, and what it says while it is at it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, TypeVar, cast

import click

from jobq.cli.options import duration, json_option
from jobq.cli.output import say
from jobq.client.retrying import Progress
from jobq.core.clock import Clock, SystemClock
from jobq.core.pacing import Plan, parse_rate, parse_share
from jobq.errors import OptionError

R = TypeVar("R")

#: Seconds between two lines where there is no terminal on which one can be written over.
SELDOM: Final = 5.0


@dataclass(frozen=True, slots=True)
class How:
    """How dead letters are brought back.

    Attributes:
        plan: a few at a time; None: all of them, at once.
        dry_run: only say which.
        as_json: write JSON.
        resign: sign them anew.
    """

    plan: Plan | None
    dry_run: bool
    as_json: bool
    resign: bool


def rate(text: str) -> float:
    """Read a rate, such as ``10/s``.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return parse_rate(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def share(text: str) -> float:
    """Read a share, such as ``20%``.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return parse_share(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


_OPTIONS = (
    click.option("--rate", metavar="N/s", type=rate, help="So many in a second: 10/s, 600/min."),
    click.option(
        "--canary",
        metavar="N",
        type=click.IntRange(min=1),
        help="So many first; the others when these have not failed.",
    ),
    click.option(
        "--stop-on-failures",
        metavar="N%",
        type=share,
        help="Stop when that share of attempts has failed: 20%.",
    ),
    click.option(
        "--patience",
        metavar="TIME",
        type=duration,
        default="10m",
        show_default=True,
        help="With --canary and --stop-on-failures: stop when no attempt ends for so long.",
    ),
    click.option("--dry-run", is_flag=True, help="Only say which."),
    click.option(
        "--resign", is_flag=True, help="Sign them anew, once you have looked at what they do."
    ),
    json_option,
)


def how_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of a retry; the command gets one ``how: How`` for all of them."""

    @wraps(command)
    def with_how(**given: object) -> R:
        a_second = cast("float | None", given.pop("rate"))
        canary = cast("int | None", given.pop("canary"))
        limit = cast("float | None", given.pop("stop_on_failures"))
        patience = cast("float", given.pop("patience"))
        plan = None
        if not (a_second is None and canary is None and limit is None):
            plan = Plan(rate=a_second, canary=canary or 0, limit=limit, patience=patience)
        how = How(
            plan, bool(given.pop("dry_run")), bool(given.pop("as_json")), bool(given.pop("resign"))
        )
        return command(**given, how=how)

    for option in reversed(_OPTIONS):
        with_how = option(with_how)
    return with_how


class Teller:
    """Says on stderr how far a retry is: on a terminal in one line, else in some.

    Args:
        total: dead letters that were chosen.
        judges: whether it is watched what becomes of them.
    """

    def __init__(self, total: int, *, judges: bool, clock: Clock = SystemClock()) -> None:
        self._total = total
        self._judges = judges
        self._clock = clock
        self._in_place = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._said = ""
        self._next = clock.monotonic() + (0.0 if self._in_place else SELDOM)

    def __call__(self, progress: Progress) -> None:
        """Say how far it is, now and then."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + (0.1 if self._in_place else SELDOM)
        text = self._sentence(progress)
        if text == self._said:
            return
        self._said = text
        if self._in_place:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
        else:
            say(text, err=True)

    def end(self) -> None:
        """Wipe the line away."""
        if self._in_place and self._said:
            click.echo("\r\x1b[K", err=True, nl=False)

    def _sentence(self, progress: Progress) -> str:
        text = f"retried {progress.retried:,} of {self._total:,}"
        if progress.in_canary:
            text = f"canary: {text}"
        if self._judges:
            text += f": {verdicts(progress)}"
        return text


def verdicts(progress: Progress) -> str:
    """Say what became of those that were brought back."""
    parts = [f"{progress.succeeded:,} went well", f"{progress.failed:,} failed again"]
    if progress.open:
        parts.append(f"{progress.open:,} not known yet")
    return ", ".join(parts)
