"""What an app lets users put around its calls and its jobs, and whom it tells of failures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from jobq.client.late import HOOKS, WEBHOOK, load
from jobq.client.producer import Producer

if TYPE_CHECKING:
    from jobq.core.hooks import AroundEnqueue, AroundRun, Hooks, OnFailed

Enqueuing = TypeVar("Enqueuing", bound="AroundEnqueue")
Running = TypeVar("Running", bound="AroundRun")
Told = TypeVar("Told", bound="OnFailed")


class Hooked:
    """The part of an app that knows of middleware and of hooks; `JobQ` is one."""

    def __init__(self, producer: Producer) -> None:
        self._hooked = producer
        self._hooks: Hooks | None = None

    @property
    def hooks(self) -> "Hooks":
        """What is around its calls and its jobs, and who is told of failures."""
        if self._hooks is None:
            self._hooks = cast("Hooks", load(HOOKS).Hooks())
        return self._hooks

    def around_enqueue(self, middleware: Enqueuing) -> Enqueuing:
        """Put middleware around the sending of calls: ``@app.around_enqueue``.

        It is called as ``middleware(call, forward)`` and returns what ``forward(call)`` returns. A
        plain function goes around `delay`, `map` and `send`, an ``async def`` around `adelay`,
        `amap` and `asend`. The first one that is registered is the outermost.

        Args:
            middleware: see `jobq.core.hooks.Outgoing` for the call that it gets.

        Raises:
            OptionError: it cannot be called.
        """
        check = load(HOOKS).check_hook
        check(middleware, "app.around_enqueue")
        self.hooks.around_enqueue.append(middleware)
        self._hooked.goes_through(self.hooks.around_enqueue)
        return middleware

    def around_run(self, middleware: Running) -> Running:
        """Put middleware around the attempts of jobs, in workers: ``@app.around_run``.

        It is called as ``middleware(job, forward)``, with what `current_job` gives, and returns
        what ``forward()`` returns. A plain function goes around job functions that are plain
        functions, an ``async def`` around those that are. The first one is the outermost.

        Raises:
            OptionError: it cannot be called.
        """
        hooks, late = self.hooks, load(HOOKS)
        late.check_hook(middleware, "app.around_run")
        hooks.around_run.append(middleware)
        self._hooked.registry.wrap(lambda function: late.around(function, hooks.around_run))
        return middleware

    def on_failure(self, told: Told) -> Told:
        """Let a function be told of each attempt that fails, in the worker: ``@app.on_failure``.

        Args:
            told: called with a `jobq.core.hooks.Failed`, in a thread of its own.

        Raises:
            OptionError: it cannot be called.
        """
        load(HOOKS).check_hook(told, "app.on_failure")
        self.hooks.on_failure.append(told)
        return told

    def on_dead(self, told: Told) -> Told:
        """Let a function be told of each job that will not run again by itself: ``@app.on_dead``.

        See `on_failure`.
        """
        load(HOOKS).check_hook(told, "app.on_dead")
        self.hooks.on_dead.append(told)
        return told

    def webhook(self, url: str, *, secret: str, events: Sequence[str] = ("dead",)) -> None:
        """Post failures to a URL, as JSON with a signature, from the workers.

        Args:
            url: http or https.
            secret: what the signature is made with.
            events: ``"dead"``, ``"failure"``, or both.

        Raises:
            OptionError: one of them cannot be used.
        """
        webhook = load(HOOKS).Webhook(url, secret, tuple(events))
        self.hooks.webhooks.append(load(WEBHOOK).check_webhook(webhook))
