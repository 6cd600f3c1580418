"""`jobq dlq export` and `import`: dead letters as lines of JSON, and back."""

from typing import TextIO

import click

from jobq.cli import shapes
from jobq.cli.choosing import count_text, tell_cut
from jobq.cli.exits import Code
from jobq.cli.filters import filter_options
from jobq.cli.opening import open_app, open_letters
from jobq.cli.options import json_option, redis_options
from jobq.cli.output import clean, say
from jobq.cli.shapes_letters import exported
from jobq.client.filters import Filter
from jobq.client.transfer import MOST_CHARS, exact, take_in_lines

#: Lines that are refused by name; the rest is counted.
_MOST_NAMED = 20


@click.command("export")
@filter_options
@click.option("-n", "--limit", type=click.IntRange(min=1), help="How many; all, if not given.")
@click.option("--sensitive", is_flag=True, help="Give sensitive arguments away, too.")
@redis_options
def export_command(
    wanted: Filter, limit: int | None, sensitive: bool, url: str | None, app: str | None
) -> None:
    """Write dead letters as lines of JSON, the newest first; `import` takes them in again."""
    letters = open_letters(url, app)
    left_out = 0
    walk = letters.walk(wanted, limit)
    for found in walk:
        whole = exact(found, sensitive=sensitive)
        left_out += whole is None
        click.echo(shapes.dump(exported(letters.row(found), whole)))
    tell_cut(walk.walked, cut=walk.cut)
    if left_out:
        say(
            f"{count_text(left_out)} with sensitive arguments cannot be imported from this: "
            "those were left out. With them: --sensitive",
            err=True,
        )


@click.command("import")
@click.argument("file", type=click.File(encoding="utf-8", errors="replace"))
@json_option
@redis_options
def import_command(file: TextIO, as_json: bool, url: str | None, app: str | None) -> int:
    """Take in dead letters from FILE, as `export` writes them; - is the standard input.

    Twice is as once: a job that is there already, or whose result is kept, stays as it is.
    """
    found = open_app(url, app)
    added = known = 0
    refused: list[tuple[int, str]] = []
    lines = iter(lambda: file.readline(MOST_CHARS + 1), "")
    for taken in take_in_lines(found.store, found.codec, lines):
        added += taken.added
        known += taken.known
        for number, why in taken.refused:
            refused.append((number, why))
            if len(refused) <= _MOST_NAMED:
                say(f"jobq: line {number:,}: {clean(why)}", err=True)
    if as_json:
        rows = [{"line": number, "why": why} for number, why in refused]
        click.echo(shapes.dump({"imported": added, "known": known, "refused": rows}))
    else:
        there = f" {known:,} were there already." if known else ""
        say(f"{count_text(added)} imported.{there}")
    if len(refused) > _MOST_NAMED:
        say(f"jobq: … and {len(refused) - _MOST_NAMED:,} lines more", err=True)
    return Code.ERROR if refused else Code.OK if added or known else Code.NOTHING
