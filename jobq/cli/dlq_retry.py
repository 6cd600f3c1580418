"""`jobq dlq retry`: dead letters back into their queues."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.choosing import agree, choose, count_text, name_some, tell, within
from jobq.cli.exits import Code
from jobq.cli.filters import filter_options
from jobq.cli.opening import open_app
from jobq.cli.options import ids_argument, redis_options, yes_option
from jobq.cli.output import clean, say
from jobq.cli.pacing import How, Teller, how_options, verdicts
from jobq.cli.shapes_retry import retried
from jobq.client.app import JobQ
from jobq.client.filters import Filter
from jobq.client.letters import Changes, Letters, Selection
from jobq.client.retrying import INTERRUPTED, PacedRetry, Progress
from jobq.client.walking import Found
from jobq.core.pacing import Plan

#: Seconds that a retry which may take hours goes on trying to reach Redis.
_PATIENCE: Final = 30.0


@click.command("retry")
@ids_argument
@click.option("--all", "everything", is_flag=True, help="All of them, or all of a queue.")
@filter_options
@how_options
@yes_option
@redis_options
def retry_command(
    job_ids: tuple[str, ...],
    everything: bool,
    wanted: Filter,
    how: How,
    yes: bool,
    url: str | None,
    app: str | None,
) -> int:
    """Put dead letters back into their queues: they start afresh, with their history kept."""
    found = open_app(url, app)
    letters = Letters(found.store, found.codec, found.signer)
    which = choose(letters, job_ids, everything, wanted)
    if how.dry_run:
        return _dry_run(letters, which, wanted, as_json=how.as_json)
    if not agree(letters, which, "Retry {}?", wanted, yes=yes):
        return Code.ERROR
    if how.plan is None and not how.as_json:
        return tell(letters.retry(which, wanted.queue, resign=how.resign), "retried", wanted.queue)
    return _paced(found, letters, which, wanted, how)


def _dry_run(
    letters: Letters, which: Selection | tuple[str, ...], wanted: Filter, *, as_json: bool
) -> int:
    if as_json:
        number = which.count if isinstance(which, Selection) else len(set(which))
        click.echo(shapes.dump({"selected": number}))
    else:
        number = name_some(letters, which, wanted)
        say(f"{count_text(number)}{within(wanted.queue)} would be retried. Nothing was changed.")
    return Code.OK


def _paced(
    app: JobQ,
    letters: Letters,
    which: Selection | tuple[str, ...],
    wanted: Filter,
    how: How,
) -> int:
    plan = how.plan or Plan()
    missing: list[str] = []
    if isinstance(which, Selection):
        total, chosen = which.count, iter(letters.chosen(which))
    else:
        total, chosen = len(set(which)), _named(letters, which, wanted.queue, missing)
    app.store.patience = _PATIENCE
    retry = PacedRetry(letters, app.store, plan)
    teller = Teller(total, judges=plan.judges)
    try:
        with _interrupts(retry):
            retry.run(chosen, teller, resign=how.resign)
    finally:
        teller.end()
        _say(retry.progress, total, tuple(missing), wanted, how)
    return _code(retry.progress, missing)


def _named(
    letters: Letters, job_ids: tuple[str, ...], queue: str | None, missing: list[str]
) -> Iterator[Found]:
    for job_id in dict.fromkeys(job_ids):
        found = letters.find(job_id, queue)
        if found is None:
            missing.append(job_id)
        else:
            yield found


@contextmanager
def _interrupts(retry: PacedRetry) -> Iterator[None]:
    """Let the first Ctrl-C end it between two steps, so that it is known how far it came."""

    def asked(_number: int, _frame: object) -> None:
        retry.stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say(
    progress: Progress, total: int, missing: tuple[str, ...], wanted: Filter, how: How
) -> None:
    if how.as_json:
        click.echo(shapes.dump(retried(progress, total, missing)))
    else:
        changes = Changes(progress.retried, missing, progress.refused, progress.refusals)
        tell(changes, "retried", wanted.queue)
        if how.plan is not None and how.plan.judges:
            say(f"Of these, {verdicts(progress)}.")
    left = total - progress.retried - progress.refusals - progress.gone - len(missing)
    if progress.stopped:
        say(f"jobq: stopped: {clean(progress.stopped)}; {count_text(left)} left", err=True)
        if progress.failed:
            say("fix: jobq dlq list --group shows why they fail", err=True)
        elif progress.stopped != INTERRUPTED:  # nobody has tried them
            say("fix: jobq workers shows whether any worker reads their queue", err=True)


def _code(progress: Progress, missing: list[str]) -> int:
    if progress.stopped == INTERRUPTED:
        return Code.INTERRUPTED
    if progress.stopped or progress.refusals:
        return Code.ERROR
    return Code.NOTHING if missing or not progress.retried else Code.OK
