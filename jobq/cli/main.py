"""`jobq`: the group of all commands, loaded one by one, and what becomes of their errors."""

import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem

from jobq.cli.colour import color_option, takes_color
from jobq.cli.exits import debugging, report
from jobq.cli.options import app_option, url_option
from jobq.cli.output import wanted

#: Name → where the command is, and its short help: `jobq --help` loads none of them.
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("jobq.cli.demo:demo", "See jobq at work; needs no file and no Redis."),
    "init": ("jobq.cli.init:init", "Write a first app, with a test."),
    "dev": ("jobq.cli.dev:dev", "Run the jobs of an app; load its code anew as it changes."),
    "worker": ("jobq.cli.worker:worker", "Run the jobs of an app."),
    "enqueue": ("jobq.cli.enqueue:enqueue", "Enqueue a job by name."),
    "queues": ("jobq.cli.queues:queues", "Show the queues and what is in them."),
    "queue": ("jobq.cli.queue:queue", "Pause, resume, purge, move or drain a queue."),
    "job": ("jobq.cli.job:job", "Show, watch, cancel or re-run one job."),
    "why": ("jobq.cli.why:why", "Say why a job is not running yet."),
    "dlq": ("jobq.cli.dlq:dlq", "List, retry, edit, purge or export dead letters."),
    "schedule": ("jobq.cli.schedule:schedule", "List, check, pause, run and remove schedules."),
    "workers": ("jobq.cli.workers:workers", "Show the workers that are alive; drain or stop them."),
    "stats": ("jobq.cli.stats:stats", "Show what was counted of the jobs, and how long they took."),
    "metrics": ("jobq.cli.metrics:metrics", "Write or serve the metrics for Prometheus."),
    "doctor": ("jobq.cli.doctor:doctor", "Look for what is wrong, and say how to mend it."),
    "server": ("jobq.cli.server:server", "Hold, stop and look at the embedded server."),
    "completion": ("jobq.cli.completion:completion", "Write what completes words in a shell."),
    "bench": ("jobq.cli.bench:bench", "Measure jobq on your Redis."),
}

#: The variable by which a shell asks for completions; click reads it.
COMPLETE: Final = "_JOBQ_COMPLETE"

EPILOG: Final = """\
\b
Redis: --url, else JOBQ_REDIS_URL, else an embedded server of this project.
Exit codes: 0 ok, 1 error, 2 usage, 3 nothing matched, 4 Redis unreachable, 130 Ctrl-C.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; their errors become exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        if COMPLETE in os.environ:
            import_module("jobq.cli.completing").complete_names(command)
        return takes_color(command)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, or an option."""
        begins = [(name, one) for name, one in COMMANDS.items() if name.startswith(incomplete)]
        items = [CompletionItem(name, help=short) for name, (_, short) in begins]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first word, or tell which one looks most like it."""
        unknown = args[0] not in COMMANDS and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:
            near = get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{guess}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; click itself would take a closed pipe for an error like others."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            return report(error, debug=False)

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **_: object,
    ) -> NoReturn:
        """Run a command line and exit."""
        sys.exit(self.run(args, prog_name))

    def run(self, args: Sequence[str] | None = None, prog_name: str | None = "jobq") -> int:
        """Run a command line and return its exit code."""
        given = list(sys.argv[1:] if args is None else args)
        before = wanted.set("auto")
        try:
            code = super().main(given, prog_name, standalone_mode=False)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException as error:  # noqa: BLE001  raised again where it is not foreseen
            return report(error, debug=debugging(given))
        finally:
            wanted.reset(before)
        return code if isinstance(code, int) else 0


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: object) -> None:
    if not wanted:
        return
    metadata = import_module("importlib.metadata")  # 13 ms, which no other command shall pay
    try:
        number: object = metadata.version("jobq")
    except metadata.PackageNotFoundError:
        number = "(not installed)"
    click.echo(f"jobq {number}")
    ctx.exit()


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@app_option
@url_option
@click.option("--debug", is_flag=True, help="Show the traceback of an error (also: JOBQ_DEBUG=1).")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def cli(app: str | None, url: str | None, debug: bool) -> None:
    """Background jobs for Python on Redis Streams: at least once, never lost."""
    del app, url, debug  # commands inherit the first two; `report` looks for the third


cli.params.append(color_option(hidden=False))


def main(args: Sequence[str] | None = None) -> int:
    """Run `jobq`; returns the exit code."""
    return cli.run(args)
