"""What users put around the sending and the running of jobs, and what they want to be told.

Middleware are plain callables. The first one that was registered is the outermost: it sees a call
first, and what came of it last.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Final, Protocol, cast

from jobq.core.annotations import Function
from jobq.core.current import RunningJob, current_job
from jobq.core.hints import shown
from jobq.errors import OptionError

#: What ``app.webhook(events=...)`` takes.
EVENTS: Final = ("failure", "dead")


class Sent(Protocol):
    """What became of a call: the job, as far as middleware need to know it."""

    @property
    def id(self) -> str:
        """The id of the job."""
        ...

    @property
    def queue(self) -> str:
        """The queue where it waits."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call on its way into Redis.

    Attributes:
        name: of the job function; cannot be changed.
        args: positional arguments.
        kwargs: keyword arguments.
        queue: where the job is to wait.
        headers: what travels with the call; made for this call alone, so it may be changed.
        bulk: it is one of the calls of a ``map()``, which are sent when all have passed.
    """

    name: str
    args: tuple[object, ...] = field(repr=False)  # they may be sensitive, and this be logged
    kwargs: Mapping[str, object] = field(repr=False)
    queue: str
    headers: dict[str, str]
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that failed, or a job that will not run again by itself.

    Attributes:
        id: of the job.
        name: of the job function.
        queue: where the job waited.
        attempt: which attempt it was, from 1.
        attempts: how many the job may have.
        error: the name of the exception's type.
        message: what it says.
        traceback: where it was raised, as text; empty: not known.
        reason: why the job is dead; empty: it is not.
        dead: whether it will not run again by itself.
        exception: the exception itself; None: not in this process.
        headers: what travels with the call.
    """

    id: str
    name: str
    queue: str
    attempt: int
    attempts: int
    error: str
    message: str
    traceback: str
    reason: str = ""
    dead: bool = False
    exception: BaseException | None = field(default=None, compare=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where failures are posted to.

    Attributes:
        url: http or https.
        secret: signs what is posted; empty: nothing is signed.
        events: out of `EVENTS`.
    """

    url: str
    secret: str = field(default="", repr=False)
    events: tuple[str, ...] = ("dead",)


#: What sends a call on, given to sync middleware and to async ones.
Forward = Callable[[Outgoing], Sent]
AsyncForward = Callable[[Outgoing], Awaitable[Sent]]
#: What ``@app.around_enqueue`` takes.
AroundEnqueue = (
    Callable[[Outgoing, Forward], object] | Callable[[Outgoing, AsyncForward], Awaitable[object]]
)
#: What ``@app.around_run`` takes.
AroundRun = (
    Callable[[RunningJob, Callable[[], object]], object]
    | Callable[[RunningJob, Callable[[], Awaitable[object]]], Awaitable[object]]
)
#: What ``@app.on_failure`` and ``@app.on_dead`` take.
OnFailed = Callable[[Failed], object]


class Hooks:
    """What users have registered with an app, each in the order of registration.

    Attributes:
        around_enqueue: around the sending of calls.
        around_run: around the attempts of jobs.
        on_failure: told of each failed attempt.
        on_dead: told of each job that will not run again by itself.
        webhooks: posted to.
    """

    __slots__ = ("around_enqueue", "around_run", "on_dead", "on_failure", "webhooks")

    def __init__(self) -> None:
        self.around_enqueue: list[AroundEnqueue] = []
        self.around_run: list[AroundRun] = []
        self.on_failure: list[OnFailed] = []
        self.on_dead: list[OnFailed] = []
        self.webhooks: list[Webhook] = []


def check_hook(function: object, where: str) -> None:
    """Refuse what cannot be called.

    Args:
        where: what takes it, such as ``app.on_dead``.

    Raises:
        OptionError: it cannot be called.
    """
    if not callable(function):
        raise OptionError(f"{where} takes a function; got {shown(function)}")


def is_async(function: object) -> bool:
    """Tell whether calling it gives a coroutine."""
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def around(function: Function, middleware: Sequence[AroundRun]) -> Function:
    """Return a job function with middleware around it; itself where none is for its kind.

    Async ones go around async job functions, sync ones around sync job functions. What is returned
    is to be called by workers, while a job runs.
    """
    wanted = iscoroutinefunction(function)
    chain = [one for one in reversed(middleware) if is_async(one) is wanted]
    if not chain:
        return function
    if not wanted:

        @wraps(function)
        def run(*args: object, **kwargs: object) -> object:
            return _composed(function, chain, args, kwargs)()

        return run

    @wraps(function)
    async def arun(*args: object, **kwargs: object) -> object:
        return await cast("Awaitable[object]", _composed(function, chain, args, kwargs)())

    return arun


def _composed(
    function: Function,
    chain: Sequence[AroundRun],
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
) -> Callable[[], object]:
    """Return a call with middleware around it; partials, so that tracebacks show users' code."""
    job = current_job()
    forward: Callable[[], object] = partial(function, *args, **kwargs)
    for one in chain:  # the innermost first
        forward = partial(one, job, forward)  # type: ignore[arg-type]
    return forward
