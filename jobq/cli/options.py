"""Options that several commands share, and what they lead to."""

import json
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import click

from jobq.core.checks import check_queue
from jobq.core.duration import seconds
from jobq.errors import OptionError

F = TypeVar("F", bound=Callable[..., object])

_SIZE: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(i)?)?b?")


def _inherit(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Take `jobq --app shop worker` for `jobq worker --app shop`."""
    above = ctx.parent
    while value is None and above is not None and param.name is not None:
        found: object = above.params.get(param.name)
        value = found if isinstance(found, str) else None
        above = above.parent
    return value


def queue_name(text: str) -> str:
    """Check the name of a queue.

    Raises:
        click.BadParameter: no queue can have it.
    """
    try:
        return check_queue(text)
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def redis_text(text: str) -> str:
    """Check text that will be sent to Redis as it is: an id, of whatever form, or a name.

    Raises:
        click.BadParameter: it is empty, or not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8") from None
    if not text:
        raise click.BadParameter("it is empty")
    return text


def byte_size(text: str) -> int:
    """Read a size in bytes, such as ``512MB``; units count in thousands, or with an i in 1024s.

    Raises:
        click.BadParameter: it is none.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise click.BadParameter(f"{text[:40]!r} is no size; use 512MB, 1.5GB, 1GiB or bytes")
    number, unit, binary = found.groups()
    size = float(number) * (1024 if binary else 1000) ** " kmgt".index(unit or " ")
    if not 1 <= size < 2**60:
        raise click.BadParameter(f"{text[:40]!r} is no size that memory can have; use 512MB or so")
    return int(size)


def duration(text: str) -> float:
    """Read a duration, such as ``25s``, in seconds.

    Raises:
        click.BadParameter: it is none.
    """
    try:
        return seconds(text, what="it")
    except OptionError as error:
        raise click.BadParameter(str(error)) from None


def moment(text: str) -> datetime:
    """Read a moment in the form of ISO 8601, with its offset from UTC.

    Raises:
        click.BadParameter: it is none, or has no offset.
    """
    example = "2030-01-01T09:00+01:00, or 2030-01-01T08:00Z for UTC"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text[:40]!r} is no moment; use {example}") from None
    if found.tzinfo is None:
        raise click.BadParameter(
            f"{text[:40]!r} has no offset from UTC, so it is another moment in other places; "
            f"use {example}"
        )
    return found


def json_array(text: str) -> list[object]:
    """Read a JSON array.

    Raises:
        click.BadParameter: it is none.
    """
    found = _json(text, "a JSON array", """'["ada@example.org", 3]'""")
    if not isinstance(found, list):
        raise click.BadParameter(f"it is {_kind(found)}; use a JSON array, such as '[3]'")
    return found


def json_object(text: str) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        click.BadParameter: it is none.
    """
    found = _json(text, "a JSON object", """'{"subject": "Hi"}'""")
    if not isinstance(found, dict):
        raise click.BadParameter(f"it is {_kind(found)}; use a JSON object, such as '{{}}'")
    return found


def _json(text: str, what: str, example: str) -> object:
    try:
        found: object = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = f"it is not JSON: {error}"
    else:
        return found
    raise click.BadParameter(f"{problem}. Use {what}, such as {example}")


def _refuse_constant(name: str) -> object:
    raise ValueError(f"there is no {name} in JSON")


def _kind(value: object) -> str:
    match value:
        case None | bool():
            return json.dumps(value)
        case dict():
            return "an object"
        case list():
            return "an array"
        case str():
            return "a string"
    return "a number"


app_option = click.option(
    "-A",
    "--app",
    metavar="MODULE[:ATTR]",
    callback=_inherit,
    help="The app, such as shop.jobs or shop.jobs:app.",
)
url_option = click.option(
    "--url",
    metavar="URL",
    callback=_inherit,
    help="Redis, such as redis://localhost:6379/0.  [env: JOBQ_REDIS_URL]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
queue_option = click.option(
    "-q", "--queue", metavar="QUEUE", type=queue_name, help="Only this queue."
)
id_argument = click.argument("job_id", metavar="ID", type=redis_text)
ids_argument = click.argument("job_ids", metavar="[ID…]", nargs=-1, type=redis_text)


def redis_options(command: F) -> F:
    """Add ``--url`` and ``--app``: where Redis is, for commands that run no job function."""
    return url_option(app_option(command))


def confirm(question: str, *, yes: bool) -> bool:
    """Ask on the terminal before something is changed.

    Args:
        question: what will be done, with the count.
        yes: ``--yes`` was given: do not ask.

    Raises:
        click.UsageError: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody is there to ask: add --yes to do it.")
    return click.confirm(question, err=True)
