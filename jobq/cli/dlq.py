"""`jobq dlq`: the dead letters."""

from itertools import islice

import click

from jobq.cli import shapes
from jobq.cli.describe import call_text, failure_text, show_letter
from jobq.cli.exits import Code, NothingMatched
from jobq.cli.opening import open_desk
from jobq.cli.options import (
    confirm,
    id_argument,
    ids_argument,
    json_option,
    queue_option,
    redis_options,
    yes_option,
)
from jobq.cli.output import ago, clean, columns, cut, say, table
from jobq.client.desk import Changes, Desk, Selection

#: Dead letters that are named before they are changed; the rest is counted.
_MOST_NAMED = 10


@click.group()
def dlq() -> None:
    """Dead letters: jobs that will not run again by themselves."""


@dlq.command("list")
@queue_option
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many."
)
@json_option
@redis_options
def list_command(
    queue: str | None, limit: int, as_json: bool, url: str | None, app: str | None
) -> None:
    """List dead letters, the newest first."""
    desk = open_desk(url, app)
    letters = list(desk.letters(queue, limit))
    if as_json:
        click.echo(shapes.dump([shapes.letter(one) for one in letters]))
        return
    if not letters:
        say(f"No dead letters{_in(queue)}.")
        return
    now = desk.now()
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
            for one in letters
        ],
        right=("ATTEMPTS",),
        cuttable=("ERROR", "JOB", "QUEUE"),
    )
    total = desk.select(queue).count if len(letters) == limit else limit
    if total > limit:
        say(f"{limit:,} of {_letters(total)}. More: --limit {min(total, 10 * limit)}", err=True)
    say("Details: jobq dlq show ID    Run again: jobq dlq retry ID", err=True)


@dlq.command("show")
@id_argument
@queue_option
@json_option
@redis_options
def show_command(
    job_id: str, queue: str | None, as_json: bool, url: str | None, app: str | None
) -> None:
    """Show one dead letter whole, with its traceback."""
    desk = open_desk(url, app)
    letter = desk.letter(job_id, queue)
    if letter is None:
        raise NothingMatched(_missing((job_id,), queue))
    if as_json:
        click.echo(shapes.dump(shapes.letter(letter)))
    else:
        show_letter(letter, desk.now())


@dlq.command("retry")
@ids_argument
@click.option("--all", "everything", is_flag=True, help="All of them, or all of a queue.")
@queue_option
@click.option(
    "--resign", is_flag=True, help="Sign them anew, once you have looked at what they do."
)
@yes_option
@redis_options
def retry_command(
    job_ids: tuple[str, ...],
    everything: bool,
    queue: str | None,
    resign: bool,
    yes: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Put dead letters back into their queues: they start afresh, with their history kept."""
    desk = open_desk(url, app)
    which = _chosen(desk, job_ids, everything, queue)
    if not _agreed(desk, which, "Retry {}?", queue, yes=yes):
        return Code.ERROR
    return _told(desk.retry(which, queue, resign=resign), "retried", queue)


@dlq.command("purge")
@ids_argument
@click.option("--all", "everything", is_flag=True, help="All of them, or all of a queue.")
@queue_option
@yes_option
@redis_options
def purge_command(
    job_ids: tuple[str, ...],
    everything: bool,
    queue: str | None,
    yes: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Remove dead letters for good."""
    desk = open_desk(url, app)
    which = _chosen(desk, job_ids, everything, queue)
    if not _agreed(desk, which, "Remove {} for good?", queue, yes=yes):
        return Code.ERROR
    return _told(desk.purge(which, queue), "purged", queue)


@dlq.command("export")
@queue_option
@click.option("-n", "--limit", type=click.IntRange(min=1), help="How many; all, if not given.")
@redis_options
def export_command(queue: str | None, limit: int | None, url: str | None, app: str | None) -> None:
    """Write dead letters as lines of JSON, the newest first."""
    for letter in open_desk(url, app).letters(queue, limit):
        click.echo(shapes.dump(shapes.letter(letter)))


def _chosen(
    desk: Desk, job_ids: tuple[str, ...], everything: bool, queue: str | None
) -> Selection | tuple[str, ...]:
    """Return what is to be changed, and see that there is something.

    Raises:
        click.UsageError: neither ids nor ``--all``, or both.
        NothingMatched: there is nothing.
    """
    if bool(job_ids) == everything:
        raise click.UsageError("say which: one ID or more, or --all")
    if not everything:
        known = tuple(one for one in dict.fromkeys(job_ids) if desk.letter(one, queue))
        if not known:
            raise NothingMatched(_missing(job_ids, queue))
        return job_ids
    selection = desk.select(queue)
    if not selection.count:
        raise NothingMatched(f"no dead letters{_in(queue)}")
    return selection


def _agreed(
    desk: Desk,
    which: Selection | tuple[str, ...],
    question: str,
    queue: str | None,
    *,
    yes: bool,
) -> bool:
    if yes:
        return True
    if isinstance(which, Selection):
        number = which.count
        named = list(desk.letters(queue, _MOST_NAMED))
    else:
        number = len(set(which))
        found = (desk.letter(one, queue) for one in dict.fromkeys(which))
        named = list(islice((one for one in found if one is not None), _MOST_NAMED))
    for one in named:
        what = f"{one.id}  {call_text(one.call)}  {failure_text(one.failure)}"
        say(f"  {cut(clean(what), columns() - 2)}", err=True)
    if number > len(named):
        say(f"  … and {number - len(named):,} more", err=True)
    if confirm(question.format(_letters(number) + _in(queue)), yes=yes):
        return True
    say("Nothing was changed.", err=True)
    return False


def _told(changes: Changes, done: str, queue: str | None) -> int:
    """Say what was done on stdout, what could not be on stderr; return the exit code."""
    say(f"{_letters(changes.done)} {done}.")
    for refusal in changes.refused:
        say(f"jobq: {clean(refusal.id)} cannot be retried: {clean(refusal.why)}", err=True)
    if changes.refusals > len(changes.refused):
        say(f"jobq: … and {changes.refusals - len(changes.refused):,} more", err=True)
    if changes.missing:
        say(f"jobq: {clean(_missing(changes.missing, queue), lines=True)}", err=True)
    if changes.refusals:
        return Code.ERROR
    return Code.NOTHING if changes.missing or not changes.done else Code.OK


def _missing(job_ids: tuple[str, ...], queue: str | None) -> str:
    names = ", ".join(job_ids[:_MOST_NAMED]) + (", …" if len(job_ids) > _MOST_NAMED else "")
    one = "no dead letter" if len(job_ids) == 1 else "no dead letters"
    where = f" --queue {queue}" if queue else ""
    return f"{one} {names}{_in(queue)}\nfix: jobq dlq list{where} shows those there are"


def _letters(number: int) -> str:
    return f"{number:,} dead letter" + ("" if number == 1 else "s")


def _in(queue: str | None) -> str:
    return f" in queue {queue!r}" if queue else ""
