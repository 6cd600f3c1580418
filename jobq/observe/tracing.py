"""Traces by OpenTelemetry: a span for each call that is sent, and one for each attempt.

They are tied together by what travels in the headers of the call (W3C Trace Context and Baggage,
or what the propagators of the program say), so retries and dead letters keep it. Only the API of
OpenTelemetry is used here: which spans are kept, and where they go, is up to the program.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from traceback import format_exception
from types import TracebackType
from typing import Final, Protocol, TypeVar

from jobq.core.carried import check_headers
from jobq.core.current import CANCELLED, RunningJob, running
from jobq.core.hooks import AroundEnqueue, AroundRun, Outgoing, Sent
from jobq.errors import JobInterrupted, OptionError, Snooze

try:
    from opentelemetry import context, propagate
    from opentelemetry import trace as otel
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer, TracerProvider
except ImportError as missing:
    raise ImportError(
        "jobq.observe.tracing needs OpenTelemetry: pip install 'jobq[otel]'"
    ) from missing

T = TypeVar("T")

SYSTEM: Final = "jobq"
GROUP: Final = "jobq"

#: Attributes of jobq itself; those of messaging are of the semantic conventions.
NAME: Final = "jobq.job.name"
ATTEMPT: Final = "jobq.job.attempt"
OUTCOME: Final = "jobq.job.outcome"
#: Characters of a message or a traceback.
_MOST: Final = 8000


class Traceable(Protocol):
    """An app, as far as this needs to know it."""

    def around_enqueue(self, middleware: AroundEnqueue, /) -> object:
        """See `jobq.JobQ.around_enqueue`."""
        ...

    def around_run(self, middleware: AroundRun, /) -> object:
        """See `jobq.JobQ.around_run`."""
        ...


def trace(
    app: Traceable,
    *,
    tracer_provider: TracerProvider | None = None,
    same_trace: bool = True,
) -> None:
    """Trace the calls and the jobs of an app. Once, before other middleware, to be around it.

    Args:
        app: the app.
        tracer_provider: makes the spans; None: the global one.
        same_trace: an attempt is in the trace of who has sent the call, as its child. False: it
            starts a trace of its own, with a link to the other. For jobs that run hours later.
    """
    tracing = _Tracing(otel.get_tracer("jobq", tracer_provider=tracer_provider), same_trace)
    app.around_enqueue(tracing.send)
    app.around_enqueue(tracing.asend)
    app.around_run(tracing.run)
    app.around_run(tracing.arun)


class _Tracing:
    """The middleware of one app."""

    def __init__(self, tracer: Tracer, same_trace: bool) -> None:
        self._tracer = tracer
        self._same_trace = same_trace

    def send(self, call: Outgoing, forward: Callable[[Outgoing], Sent]) -> Sent:
        with self._sending(call) as span:
            sent = forward(call)
            _name(span, sent)
            return sent

    async def asend(self, call: Outgoing, forward: Callable[[Outgoing], Awaitable[Sent]]) -> Sent:
        with self._sending(call) as span:
            sent = await forward(call)
            _name(span, sent)
            return sent

    def run(self, job: RunningJob, forward: Callable[[], T]) -> T:
        with self._running(job):
            return forward()

    async def arun(self, job: RunningJob, forward: Callable[[], Awaitable[T]]) -> T:
        with self._running(job):
            return await forward()

    @contextmanager
    def _sending(self, call: Outgoing) -> Iterator[Span]:
        operation = "create" if call.bulk else "send"
        attributes = {**_operation(operation, call.queue), NAME: call.name}
        with self._tracer.start_as_current_span(
            f"{operation} {call.queue}", kind=SpanKind.PRODUCER, attributes=attributes
        ) as span:
            _inject(call.headers)
            yield span

    @contextmanager
    def _running(self, job: RunningJob) -> Iterator[None]:
        # Under nothing that happens to be around here: a worker, or the test that runs the job.
        origin = propagate.extract(job.headers, context=context.Context())
        sender = otel.get_current_span(origin).get_span_context()
        parent = origin
        if not self._same_trace:
            parent = otel.set_span_in_context(otel.INVALID_SPAN, origin)
        token = context.attach(parent)
        try:
            with self._tracer.start_as_current_span(
                f"process {job.queue}",
                kind=SpanKind.CONSUMER,
                attributes={
                    **_operation("process", job.queue),
                    "messaging.message.id": job.id,
                    "messaging.consumer.group.name": GROUP,
                    NAME: job.name,
                    ATTEMPT: job.attempt,
                },
                links=[Link(sender)] if sender.is_valid else [],
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    yield
                except BaseException as error:
                    _failed(span, error)
                    raise
        finally:
            context.detach(token)


def _operation(name: str, queue: str) -> dict[str, str]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": name,
        "messaging.destination.name": queue,
    }


def _inject(headers: dict[str, str]) -> None:
    """Add the context to the headers of a call, or as much of it as has room there."""
    found: dict[str, str] = {}
    propagate.inject(found)
    for names in (found.keys(), found.keys() - {"baggage"}, found.keys() & {"traceparent"}):
        more = {name: found[name] for name in names}
        try:
            check_headers({**headers, **more})
        except OptionError:  # a trace that is cut must not be what keeps a job from being sent
            continue
        headers.update(more)
        return


def _name(span: Span, sent: object) -> None:
    job_id: object = getattr(sent, "id", None)
    if isinstance(job_id, str):
        span.set_attribute("messaging.message.id", job_id)


def _failed(span: Span, error: BaseException) -> None:
    # The second is how an async job is cancelled; asyncio costs what sync jobs do not pay.
    if isinstance(error, Snooze | JobInterrupted) or error.args == (CANCELLED,):
        span.set_attribute(OUTCOME, "snoozed" if isinstance(error, Snooze) else "interrupted")
        return
    kind = type(error)
    bare = kind.__module__ in {"builtins", "jobq.errors"}
    name = kind.__qualname__ if bare else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
        shown = "".join(format_exception(kind, error, _of_users(error.__traceback__)))
    except Exception:  # noqa: BLE001  a broken __str__ of a user's class
        message = shown = f"<{name} that cannot be shown>"
    redact = running.get().redact
    message, shown = redact(message), redact(shown)
    span.add_event(
        "exception",
        {
            "exception.type": name,
            "exception.message": message[:_MOST],
            "exception.stacktrace": shown[-_MOST:],
        },
    )
    span.set_attribute("error.type", name)
    span.set_status(StatusCode.ERROR, f"{name}: {message[:_MOST]}")


def _of_users(frames: TracebackType | None) -> TracebackType | None:
    """Return a traceback from the first frame on that is not of jobq."""
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("jobq."):
        frames = frames.tb_next
    return frames
