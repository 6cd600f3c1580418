"""Each job in the log, for those who ask: ``jobq worker --log-args`` and ``--verbose``."""

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from reprlib import Repr
from typing import Final, cast

from jobq.core.annotations import Function
from jobq.core.clock import Clock, SystemClock
from jobq.core.codec import Codec
from jobq.core.current import running
from jobq.core.hooks import around
from jobq.core.marks import HEADER, Marked
from jobq.core.ports import Application
from jobq.core.redact import Redactor, secrets_in
from jobq.core.signing import inner
from jobq.runtime.delivery import Delivery

log = logging.getLogger("jobq.worker")

_RAN: Final = "ran job=%s name=%s attempt=%d took=%.4fs"

#: Characters of the arguments of one job that are logged.
MOST_SHOWN: Final = 2000

_REPR: Final = Repr()
_REPR.maxstring = _REPR.maxother = 200
_REPR.maxlong = 100
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = _REPR.maxfrozenset = 20


def log_jobs(
    app: Application,
    *,
    arguments: bool,
    returns: int | None,
    after: Callable[[], None] = lambda: None,
    clock: Clock = SystemClock(),
) -> None:
    """Log jobs of this app, each when it starts and when it has returned.

    Attempts that fail are logged by the worker.

    Args:
        arguments: log each start, with what the job was called with; sensitive arguments are
            redacted, see `jobq.core.marks`.
        returns: the level at which each return is logged, INFO or DEBUG; None: it is not.
        after: called when a job has ended, in whatever way, where it ran.
    """
    middleware, codec = app.hooks.around_run, app.codec

    def starts() -> tuple[Delivery, float]:
        delivery = cast("Delivery", running.get())
        if arguments:
            shown = arguments_of(delivery.call, codec, delivery.definition.sensitive)
            log.info("started job=%s name=%s attempt=%d args=%s", *delivery.named, shown)
        return delivery, clock.monotonic()

    def returned(delivery: Delivery, began: float) -> None:
        took = clock.monotonic() - began
        if returns == logging.INFO:
            log.info(_RAN, *delivery.named, took)
        elif returns is not None:
            log.debug(_RAN, *delivery.named, took)

    def wrap(function: Function) -> Function:
        inside = around(function, middleware)

        @wraps(function)
        def run(*args: object, **kwargs: object) -> object:
            started = starts()
            try:
                value = inside(*args, **kwargs)
            finally:
                after()
            returned(*started)
            return value

        @wraps(function)
        async def arun(*args: object, **kwargs: object) -> object:
            started = starts()
            try:
                value = await cast("Awaitable[object]", inside(*args, **kwargs))
            finally:
                after()
            returned(*started)
            return value

        return arun if iscoroutinefunction(function) else run

    app.registry.wrap(wrap)


def arguments_of(blob: bytes, codec: Codec, marks: tuple[object, ...]) -> str:
    """Return the arguments of a call as text, as they travelled.

    Args:
        marks: which are sensitive, beyond what the call itself says.
    """
    _, args, kwargs, headers = codec.decode_call(inner(blob))
    shown, named = tuple(args), dict(kwargs)
    for one in (marks, headers.get(HEADER)):
        if one:
            shown, named = Marked(one).shown(shown, named)
    parts = [*map(_repr, shown), *(f"{name}={_repr(value)}" for name, value in named.items())]
    text = Redactor(secrets_in(inner(blob), marks)).text(", ".join(parts))
    return f"({text})" if len(text) < MOST_SHOWN else f"({text[:MOST_SHOWN]}…"


def _repr(value: object) -> str:
    try:
        return _REPR.repr(value)
    except Exception:  # noqa: BLE001  a user's __repr__
        return f"<{type(value).__name__}>"
