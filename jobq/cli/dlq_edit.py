"""`jobq dlq edit`: a dead letter gets other arguments before it is retried."""

import json

import click

from jobq.cli import shapes
from jobq.cli.choosing import missing
from jobq.cli.describe import call_text
from jobq.cli.exits import Code, NothingMatched
from jobq.cli.opening import open_letters
from jobq.cli.options import (
    confirm,
    id_argument,
    json_option,
    queue_option,
    redis_options,
    yes_option,
)
from jobq.cli.output import clean, say
from jobq.client.editing import Change
from jobq.client.letters import Letters
from jobq.client.rows import CallRow, LetterRow
from jobq.core.edits import ARGS, KWARGS, Assignment, assign, merge
from jobq.errors import EnqueueError, OptionError

_EXAMPLE = """\b
For example:
  jobq dlq edit 01jq… --set kwargs.user_id=7 --set args.0=ada@example.org
  jobq dlq edit 01jq… --editor
"""

#: What stands at the head of the text in the editor.
_HELP = """\
// The arguments of {call}
// Change them, save and leave. Lines like these are dropped. What you leave as it is stays the
// value that it was, also where JSON cannot show it.
"""


@click.command("edit", epilog=_EXAMPLE)
@id_argument
@click.option(
    "--set",
    "settings",
    metavar="PATH=VALUE",
    multiple=True,
    help="Another value, as JSON, or text: kwargs.user_id=7.",
)
@click.option("--editor", is_flag=True, help="Edit the arguments as JSON, in $EDITOR.")
@queue_option
@yes_option
@json_option
@redis_options
def edit_command(
    job_id: str,
    settings: tuple[str, ...],
    editor: bool,
    queue: str | None,
    yes: bool,
    as_json: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Give a dead letter other arguments; it stays dead until it is retried.

    With --app they are checked against the job function. The call is signed anew where there is a
    key.
    """
    if bool(settings) == editor:
        raise click.UsageError("say how: --set PATH=VALUE, once or more, or --editor")
    assignments = [_assignment(one) for one in settings]
    letters = open_letters(url, app)
    found = letters.find(job_id, queue)
    if found is None:
        raise NothingMatched(missing((job_id,), queue))
    row = letters.row(found)
    change = _edited(row.call) if editor else _assigned(assignments)
    if not yes:
        say(f"  {clean(call_text(row.call))}", err=True)
    if change is None or not confirm(f"Change the arguments of {clean(job_id)}?", yes=yes):
        say("Nothing was changed.", err=True)
        return Code.ERROR
    try:
        done = letters.edit(found, change)
    except (OptionError, EnqueueError) as error:
        raise click.ClickException(f"nothing was changed: {error}") from error
    if not done:
        raise NothingMatched(missing((job_id,), queue))
    return _told(letters, row, queue, as_json=as_json)


def _told(letters: Letters, before: LetterRow, queue: str | None, *, as_json: bool) -> int:
    now = letters.letter(before.id, queue)
    if now is None:  # somebody was faster
        raise NothingMatched(missing((before.id,), queue))
    if as_json:
        click.echo(shapes.dump(shapes.letter(now)))
        return Code.OK
    say(f"{clean(now.id)} is now  {clean(call_text(now.call))}")
    if not letters.checks(now.call.name):
        say("Not checked against the job function: that takes --app.", err=True)
    say(f"Run it: jobq dlq retry {clean(now.id)}", err=True)
    return Code.OK


def _assignment(text: str) -> Assignment:
    path, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(
            f"{text[:40]!r} has no '='; use kwargs.user_id=7", param_hint="--set"
        )
    try:
        return Assignment.parse(path.strip(), _value(value))
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint="--set") from None


def _value(text: str) -> object:
    try:
        return _json(text)
    except ValueError:
        return text


def _json(text: str) -> object:
    try:
        found: object = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _refuse(name: str) -> object:
    raise ValueError(f"there is no {name} in JSON")


def _assigned(assignments: list[Assignment]) -> Change:
    return lambda args, kwargs: assign(args, kwargs, assignments)


def _edited(call: CallRow) -> Change | None:
    """Let somebody edit the arguments as JSON; None: they were left as they are."""
    if call.args is None or call.kwargs is None:
        raise click.ClickException(f"its arguments cannot be read: {call.problem}")
    shown: dict[str, object] = {
        ARGS: [shapes.plain(one) for one in call.args],
        KWARGS: {name: shapes.plain(one) for name, one in call.kwargs.items()},
    }
    head = _HELP.format(call=clean(call.name))
    text = click.edit(head + json.dumps(shown, indent=2) + "\n", extension=".json")
    if text is None:
        return None
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("//")]
    try:
        edited = _json("\n".join(kept))
    except ValueError as error:
        raise click.ClickException(
            f"nothing was changed: what was saved is no JSON: {error}"
        ) from None
    match edited:
        case {"args": list(args), "kwargs": dict(kwargs), **more} if not more:
            now: dict[str, object] = {ARGS: args, KWARGS: kwargs}
            return None if now == shown else _merged(shown, now)
    raise click.ClickException('nothing was changed: keep the form {"args": […], "kwargs": {…}}')


def _merged(shown: dict[str, object], edited: dict[str, object]) -> Change:
    def change(
        args: list[object], kwargs: dict[str, object]
    ) -> tuple[list[object], dict[str, object]]:
        merged_args = merge(args, shown[ARGS], edited[ARGS])
        merged_kwargs = merge(kwargs, shown[KWARGS], edited[KWARGS])
        assert isinstance(merged_args, list)
        assert isinstance(merged_kwargs, dict)
        return merged_args, merged_kwargs

    return change
