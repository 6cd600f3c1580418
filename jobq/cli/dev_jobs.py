"""A line for the start and the end of each job: what `jobq dev` shows of the work."""

import logging
import signal
from collections.abc import Awaitable
from functools import wraps
from inspect import iscoroutinefunction
from threading import current_thread, main_thread
from typing import Final, cast

from jobq.core.annotations import Function
from jobq.core.clock import Clock, SystemClock
from jobq.core.current import running
from jobq.core.hooks import around
from jobq.core.ports import Application
from jobq.runtime.arguments import arguments_of
from jobq.runtime.delivery import Delivery

log = logging.getLogger("jobq.worker")

_STARTED: Final = "started job=%s name=%s attempt=%d args=%s"
_RAN: Final = "ran job=%s name=%s attempt=%d took=%.4fs"


def tell_of_jobs(app: Application, clock: Clock = SystemClock()) -> None:
    """Log each start of a job of this app with its arguments, and each return.

    Attempts that fail are logged by the worker. Sensitive arguments are redacted.
    """
    middleware, codec = app.hooks.around_run, app.codec

    def started() -> Delivery:
        delivery = cast("Delivery", running.get())
        shown = arguments_of(delivery.call, codec, delivery.definition.sensitive)
        log.info(_STARTED, *delivery.named, shown)
        return delivery

    def wrap(function: Function) -> Function:
        inside = around(function, middleware)

        @wraps(function)
        def run(*args: object, **kwargs: object) -> object:
            delivery, began = started(), clock.monotonic()
            try:
                value = inside(*args, **kwargs)
            finally:
                _leave_ctrl_c()
            log.info(_RAN, *delivery.named, clock.monotonic() - began)
            return value

        @wraps(function)
        async def arun(*args: object, **kwargs: object) -> object:
            delivery, began = started(), clock.monotonic()
            try:
                value = await cast("Awaitable[object]", inside(*args, **kwargs))
            finally:
                _leave_ctrl_c()
            log.info(_RAN, *delivery.named, clock.monotonic() - began)
            return value

        return arun if iscoroutinefunction(function) else run

    app.registry.wrap(wrap)


def _leave_ctrl_c() -> None:
    """Leave Ctrl-C to the supervisor again: a debugger listens to it after its `continue`."""
    if current_thread() is main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
