"""Names out of Redis for a shell that completes a word; loaded by nothing else."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

import click
from click.shell_completion import CompletionItem
from click.types import FuncParamType

from jobq.cli.options import queue_name, redis_text
from jobq.cli.weights import WeightedQueue
from jobq.client.app import JobQ
from jobq.client.desk import Desk
from jobq.client.where import EMBEDDED, Where
from jobq.embedded import find_home
from jobq.embedded.control import look
from jobq.store.ops import inspect

#: Seconds that Redis has to answer: who presses Tab waits.
PATIENCE: Final = 0.2
#: Names that are offered at most.
MOST: Final = 500

Names = Callable[[JobQ], Iterable[str]]


class _Named(FuncParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """A kind of words that Redis knows.

    Args:
        check: reads such a word.
        names: the words that there are.
    """

    def __init__(self, check: Callable[[str], object], names: Names) -> None:
        super().__init__(check)
        self._names = names

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the words that begin like this; none if Redis is not there at once."""
        del param
        try:
            with _limit():
                found = sorted({name for name in _ask(ctx, self._names) if name.isprintable()})
        except Exception:  # noqa: BLE001  a message would be in the way of what is typed
            return []
        return [CompletionItem(name) for name in found if name.startswith(incomplete)][:MOST]


def complete_names(command: click.Command) -> None:
    """Let the parameters of a command, and of those in it, complete names."""
    for param in command.params:
        kind = param.type
        if isinstance(kind, FuncParamType):
            names = _names_of(kind.func, command, param)
            if names is not None:
                param.type = _Named(kind.func, names)
        elif isinstance(kind, WeightedQueue):
            param.type = _Named(_reading(kind), _queues)
    if isinstance(command, click.Group):
        for one in command.commands.values():
            complete_names(one)


def _reading(kind: WeightedQueue) -> Callable[[str], object]:
    def queue(word: str) -> object:
        return kind.convert(word, None, None)

    return queue


def _names_of(check: object, command: click.Command, param: click.Parameter) -> Names | None:
    if check is queue_name:
        return _queues
    if check is not redis_text:
        return None
    if param.name in {"job", "function"} or (command.name, param.name) == ("enqueue", "name"):
        return _jobs
    return _workers if param.name == "names" else None


def _queues(app: JobQ) -> Iterable[str]:
    return app.store.run(inspect.queues())


def _jobs(app: JobQ) -> Iterable[str]:
    return (job for worker in Desk(app.store, app.codec).workers() for job in worker.jobs)


def _workers(app: JobQ) -> Iterable[str]:
    return (worker.name for worker in Desk(app.store, app.codec).workers())


def _ask(ctx: click.Context, names: Names) -> list[str]:
    url = _given(ctx, "url")
    if _given(ctx, "app") is not None:  # its Redis is known to its code alone
        return []
    where = Where(url)
    if where.safe_url().startswith(EMBEDDED) and not look(find_home()).running:
        return []
    with JobQ(url) as app:
        app.store.patience = PATIENCE
        return list(names(app))


def _given(ctx: click.Context, name: str) -> str | None:
    above: click.Context | None = ctx
    while above is not None:
        value: object = above.params.get(name)
        if isinstance(value, str):
            return value
        above = above.parent
    return None


@contextmanager
def _limit() -> Iterator[None]:
    def give_up(*_: object) -> NoReturn:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
