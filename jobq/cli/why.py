"""`jobq why`: one sentence on why a job is not running."""

from typing import Final

import click

from jobq.cli import shapes
from jobq.cli.exits import NothingMatched
from jobq.cli.opening import open_app
from jobq.cli.options import id_argument, json_option, queue_option, redis_options
from jobq.cli.output import clean, say
from jobq.client.reasons import Reasons
from jobq.client.rows import moment
from jobq.core.why import Facts, Why

#: The code of a job that is not there.
_MISSING: Final = "missing"


@click.command()
@id_argument
@queue_option
@json_option
@redis_options
def why(job_id: str, queue: str | None, as_json: bool, url: str | None, app: str | None) -> None:
    """Say in one sentence why a job is not running yet, and what to do about it."""
    found = open_app(url, app)
    every = (found.registry.get(name) for name in found.registry.names())
    expires = {one.name: one.policy.expires for one in every if one is not None}
    facts, reason = Reasons(found.store, found.codec, expires).why(job_id, queue)
    if reason.code == _MISSING:
        where = f" in queue {queue!r}" if queue else ""
        missing = reason.sentence.replace(job_id, f"{job_id}{where}", 1)
        raise NothingMatched(f"{missing[0].lower()}{missing[1:].rstrip('.')}\nfix: {reason.fix}")
    if as_json:
        click.echo(shapes.dump(_shape(facts, reason)))
        return
    say(clean(reason.sentence))
    if reason.fix:
        say(f"fix: {clean(reason.fix)}", err=True)


def _shape(facts: Facts, reason: Why) -> shapes.Object:
    until = None if reason.until_ms is None else moment(reason.until_ms)
    return {
        "id": facts.job_id,
        "queue": facts.queue,
        "job": facts.name or None,
        "state": None if facts.state is None else str(facts.state),
        "why": reason.code,
        "sentence": reason.sentence,
        "until": shapes.instant(until),
        "fix": reason.fix or None,
    }
