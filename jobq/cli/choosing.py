"""Which dead letters a command changes: found, counted, named, and asked about."""

from itertools import islice

import click

from jobq.cli.describe import call_text, failure_text
from jobq.cli.exits import Code, NothingMatched
from jobq.cli.options import confirm
from jobq.cli.output import clean, columns, cut, say
from jobq.client.filters import Filter
from jobq.client.letters import Changes, Letters, Selection

#: Dead letters that are named before they are changed; the rest is counted.
_MOST_NAMED = 10


def choose(
    letters: Letters, job_ids: tuple[str, ...], everything: bool, wanted: Filter
) -> Selection | tuple[str, ...]:
    """Return what is to be changed, and see that there is something.

    Args:
        letters: the dead letters.
        job_ids: those that were named.
        everything: ``--all`` was given.
        wanted: the filter that was given; one with no more than a queue means nothing by itself.

    Raises:
        click.UsageError: neither ids, a filter nor ``--all``; or more than one of them.
        NothingMatched: there is nothing.
    """
    if bool(job_ids) + everything + (not wanted.is_empty) != 1:
        raise click.UsageError("say which: one ID or more, or a filter such as --job, or --all")
    if job_ids:
        if not any(letters.find(one, wanted.queue) for one in dict.fromkeys(job_ids)):
            raise NothingMatched(missing(job_ids, wanted.queue))
        return job_ids
    selection = letters.select(wanted)
    if not selection.count:
        raise NothingMatched(nothing_found(wanted, selection.walked, cut=selection.cut))
    return selection


def agree(
    letters: Letters,
    which: Selection | tuple[str, ...],
    question: str,
    wanted: Filter,
    *,
    yes: bool,
) -> bool:
    """Name what will be changed, and ask whether it shall be.

    Args:
        question: with ``{}`` for how many dead letters of what.
    """
    if isinstance(which, Selection):
        tell_cut(which.walked, cut=which.cut)
    if yes:
        return True
    number = name_some(letters, which, wanted)
    if confirm(question.format(count_text(number) + within(wanted.queue)), yes=yes):
        return True
    say("Nothing was changed.", err=True)
    return False


def name_some(letters: Letters, which: Selection | tuple[str, ...], wanted: Filter) -> int:
    """Name the first of what was chosen, on stderr; return how many there are."""
    if isinstance(which, Selection):
        number = which.count
        named = list(map(letters.row, islice(letters.chosen(which), _MOST_NAMED)))
    else:
        number = len(set(which))
        found = (letters.letter(one, wanted.queue) for one in dict.fromkeys(which))
        named = list(islice((one for one in found if one is not None), _MOST_NAMED))
    for one in named:
        what = f"{one.id}  {call_text(one.call)}  {failure_text(one.failure)}"
        say(f"  {cut(clean(what), columns() - 2)}", err=True)
    if number > len(named):
        say(f"  … and {number - len(named):,} more", err=True)
    return number


def tell(changes: Changes, done: str, queue: str | None) -> int:
    """Say what was done on stdout, what could not be on stderr; return the exit code."""
    say(f"{count_text(changes.done)} {done}.")
    for refusal in changes.refused:
        say(f"jobq: {clean(refusal.id)} cannot be retried: {clean(refusal.why)}", err=True)
    if changes.refusals > len(changes.refused):
        say(f"jobq: … and {changes.refusals - len(changes.refused):,} more", err=True)
    if changes.missing:
        say(f"jobq: {clean(missing(changes.missing, queue), lines=True)}", err=True)
    if changes.refusals:
        return Code.ERROR
    return Code.NOTHING if changes.missing or not changes.done else Code.OK


def tell_cut(walked: int, *, cut: bool) -> None:
    """Say that not all dead letters were read to find those that are meant, if that is so."""
    if cut:
        say(
            f"Only the newest {walked:,} dead letters were read to find them. "
            f"More: --scan {10 * walked}; all: --scan 0",
            err=True,
        )


def missing(job_ids: tuple[str, ...], queue: str | None) -> str:
    """Say that there are no such dead letters."""
    names = ", ".join(job_ids[:_MOST_NAMED]) + (", …" if len(job_ids) > _MOST_NAMED else "")
    one = "no dead letter" if len(job_ids) == 1 else "no dead letters"
    where = f" --queue {queue}" if queue else ""
    return f"{one} {names}{within(queue)}\nfix: jobq dlq list{where} shows those there are"


def nothing_found(wanted: Filter, walked: int, *, cut: bool) -> str:
    """Say that no dead letter is meant."""
    if wanted.is_empty:
        return f"no dead letters{within(wanted.queue)}"
    said = f"no dead letters{within(wanted.queue)} fit"
    if cut:
        said += f" among the newest {walked:,}\nfix: --scan {10 * walked} reads more, --scan 0 all"
    return said


def count_text(number: int) -> str:
    """Return how many dead letters, with the words."""
    return f"{number:,} dead letter" + ("" if number == 1 else "s")


def within(queue: str | None) -> str:
    """Return where, if that is one queue."""
    return f" in queue {queue!r}" if queue else ""
