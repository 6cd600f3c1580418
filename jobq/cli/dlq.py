"""`jobq dlq`: the dead letters, listed and shown; its other commands have modules of their own."""

import click

from jobq.cli import shapes, shapes_letters
from jobq.cli.choosing import count_text, missing, nothing_found, tell_cut
from jobq.cli.describe import failure_text, show_letter
from jobq.cli.dlq_edit import edit_command
from jobq.cli.dlq_export import export_command, import_command
from jobq.cli.dlq_purge import purge_command
from jobq.cli.dlq_retry import retry_command
from jobq.cli.exits import NothingMatched
from jobq.cli.filters import filter_options
from jobq.cli.opening import open_letters
from jobq.cli.options import id_argument, json_option, queue_option, redis_options
from jobq.cli.output import ago, say, table
from jobq.client.filters import Filter
from jobq.client.letters import Letters
from jobq.core.outcome import Failure


@click.group()
def dlq() -> None:
    """Dead letters: jobs that will not run again by themselves."""


@dlq.command("list")
@filter_options
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@click.option(
    "--group", "by_group", is_flag=True, help="Count those that died of the same; the most first."
)
@json_option
@redis_options
def list_command(
    wanted: Filter,
    limit: int,
    by_group: bool,
    as_json: bool,
    url: str | None,
    app: str | None,
) -> None:
    """List dead letters, the newest first."""
    letters = open_letters(url, app)
    if by_group:
        _list_groups(letters, wanted, limit, as_json=as_json)
    else:
        _list(letters, wanted, limit, as_json=as_json)


def _list(letters: Letters, wanted: Filter, limit: int, *, as_json: bool) -> None:
    walk = letters.walk(wanted, limit)
    found = list(map(letters.row, walk))
    if as_json:
        click.echo(shapes.dump([shapes.letter(one) for one in found]))
        tell_cut(walk.walked, cut=walk.cut)
        return
    if not found:
        _say_nothing(nothing_found(wanted, walk.walked, cut=walk.cut))
        return
    now = letters.now()
    table(
        ("ID", "JOB", "QUEUE", "ATTEMPTS", "FAILED", "ERROR"),
        [
            (
                one.id,
                one.call.name or "?",
                one.queue,
                str(one.attempts),
                ago(one.failed_at, now),
                failure_text(one.failure) or one.reason,
            )
            for one in found
        ],
        right=("ATTEMPTS",),
        cuttable=("ERROR", "JOB", "QUEUE"),
    )
    total = letters.select(wanted).count if len(found) == limit else limit
    if total > limit:
        say(f"{limit:,} of {count_text(total)}. More: --limit {min(total, 10 * limit)}", err=True)
    tell_cut(walk.walked, cut=walk.cut)
    say("Details: jobq dlq show ID    Run again: jobq dlq retry ID", err=True)


def _list_groups(letters: Letters, wanted: Filter, limit: int, *, as_json: bool) -> None:
    if wanted.attempts is not None:
        raise click.UsageError("--group and --attempts do not go together: groups have no attempts")
    every = letters.groups(wanted)
    rows = letters.samples(every[:limit])
    if as_json:
        click.echo(shapes.dump([shapes_letters.group(one) for one in rows]))
        return
    if not rows:
        _say_nothing(nothing_found(wanted, 0, cut=False))
        return
    now = letters.now()
    table(
        ("COUNT", "GROUP", "JOB", "QUEUE", "FIRST", "LAST", "ERROR"),
        [
            (
                f"{one.count:,}",
                one.fingerprint,
                one.job or "?",
                one.queue,
                ago(one.first_at, now),
                ago(one.last_at, now),
                failure_text(Failure(one.error, one.message, "")),
            )
            for one in rows
        ],
        right=("COUNT",),
        cuttable=("ERROR", "JOB", "QUEUE"),
    )
    if len(every) > limit:
        say(f"{limit:,} of {len(every):,} groups. More: --limit {10 * limit}", err=True)
    say("Its letters: jobq dlq list --group-id GROUP", err=True)


@dlq.command("show")
@id_argument
@queue_option
@json_option
@redis_options
def show_command(
    job_id: str, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """Show one dead letter whole, with its traceback."""
    letters = open_letters(url, app)
    letter = letters.letter(job_id, queue)
    if letter is None:
        raise NothingMatched(missing((job_id,), queue))
    if as_json:
        click.echo(shapes.dump(shapes.letter(letter)))
    else:
        show_letter(letter, letters.now())


def _say_nothing(text: str) -> None:
    say(f"{text[0].upper()}{text[1:]}" + ("" if "\n" in text else "."))


for command in (retry_command, edit_command, purge_command, export_command, import_command):
    dlq.add_command(command)
