"""`jobq doctor`: look for what is wrong, and say how to mend it."""

from collections import Counter
from collections.abc import Sequence

import click

from jobq.cli import shapes
from jobq.cli.exits import Code
from jobq.cli.opening import open_app
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import clean, paint, say
from jobq.client.doctor import Doctor
from jobq.core.doctor.finding import LEVELS, Finding, worst


@click.command()
@click.option("--strict", is_flag=True, help="End with 1 for warnings too.")
@click.option(
    "--scan",
    type=click.IntRange(0, 100_000_000),
    default=10_000,
    show_default=True,
    metavar="N",
    help="How many keys of Redis to walk over.",
)
@json_option
@redis_options
def doctor(strict: bool, scan: int, as_json: bool, url: str | None, app: str | None) -> int:
    """Look for what is wrong, and say how to mend it.

    Looks at Redis, the queues and this machine, and changes nothing. Ends with 1 where something
    is bad, else with 0.
    """
    findings = list(Doctor(open_app(url, app), most_keys=scan).examine())
    level = worst(findings)
    if as_json:
        click.echo(shapes.dump({"level": level, "findings": [_shape(one) for one in findings]}))
    else:
        _tell(findings)
    return Code.ERROR if level == "bad" or (strict and level == "warning") else Code.OK


def _shape(finding: Finding) -> shapes.Object:
    return {
        "check": finding.check,
        "level": finding.level,
        "queue": finding.queue or None,
        "message": finding.what,
        "fix": finding.fix or None,
    }


def _tell(findings: Sequence[Finding]) -> None:
    most = max(len(one.check) for one in findings)
    for one in findings:
        level = one.level.ljust(7)
        if one.level != "ok":
            level = paint(level, "red" if one.level == "bad" else "bold")
        queue = f"{one.queue}: " if one.queue else ""
        say(f"{level}  {one.check.ljust(most)}  {clean(queue + one.what)}")
        if one.fix and one.level != "ok":
            say(f"{'':7}  {'':{most}}  fix: {clean(one.fix)}")
    many = Counter(one.level for one in findings)
    told = {"bad": "bad", "warning": "warning" + "s" * (many["warning"] > 1), "ok": "ok"}
    say(", ".join(f"{many[level]} {told[level]}" for level in reversed(LEVELS) if many[level]))
