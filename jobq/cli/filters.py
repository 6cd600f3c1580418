"""The options that say which dead letters are meant: for list, retry, purge and export."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import TypeVar, cast

import click

from jobq.cli.options import duration, moment, queue_name, redis_text
from jobq.client.filters import SCAN, Attempts, Filter
from jobq.errors import OptionError

R = TypeVar("R")


def time_or_age(text: str) -> datetime | timedelta:
    """Read a moment, or how long ago it was: ``90m``, ``2d``.

    Raises:
        click.BadParameter: it is neither.
    """
    if "T" in text or "-" in text or ":" in text:
        return moment(text)
    try:
        return timedelta(seconds=duration(text))
    except click.BadParameter as error:
        raise click.BadParameter(f"{error.message} Or a moment: 2026-11-24T08:00Z.") from None


def attempts(text: str) -> Attempts:
    """Read a number of attempts, compared.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return Attempts.parse(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


_OPTIONS = (
    click.option("-q", "--queue", metavar="QUEUE", type=queue_name, help="Only this queue."),
    click.option(
        "--job", metavar="NAME", type=redis_text, help="Of this job function; mail.* too."
    ),
    click.option("--error", metavar="NAME", type=redis_text, help="Which died of this exception."),
    click.option("--message", metavar="TEXT", help="Whose exception said this, whatever its case."),
    click.option("--since", metavar="TIME", type=time_or_age, help="Failed since then: 2h, 1d, …"),
    click.option("--until", metavar="TIME", type=time_or_age, help="Failed before then."),
    click.option(
        "--attempts", metavar="N", type=attempts, help="Started so often: '>3', '<=1', 4."
    ),
    click.option("--group-id", metavar="ID", type=redis_text, help="Of this group of failures."),
    click.option(
        "--scan",
        metavar="N",
        type=click.IntRange(min=0),
        default=SCAN,
        show_default=True,
        help="Letters to read at most to find them; 0: all.",
    ),
)


def filter_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of a filter; the command gets one ``wanted: Filter`` for all of them."""

    @wraps(command)
    def with_filter(**given: object) -> R:
        names = ("queue", "job", "error", "message", "since", "until", "attempts")
        parts = {name: given.pop(name) for name in names}
        scan = cast("int", given.pop("scan"))
        group = given.pop("group_id")
        wanted = Filter(**parts, group=group, scan=scan or None)  # type: ignore[arg-type]
        return command(**given, wanted=wanted)

    for option in reversed(_OPTIONS):
        with_filter = option(with_filter)
    return with_filter
