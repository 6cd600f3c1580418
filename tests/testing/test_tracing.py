"""Traces, seen by an exporter in memory: who sent what, and what became of it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, Tracer, get_current_span

from jobq import JobQ, Snooze, current_job
from jobq.client.letters import Letters
from jobq.core.carried import MOST_BYTES
from jobq.core.hooks import Outgoing
from jobq.errors import EnqueueError
from jobq.observe.tracing import trace
from jobq.testing import Session


class Lab(NamedTuple):
    """What makes spans, and the spans that have ended."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def tracer(self) -> Tracer:
        """Makes spans of the test's own."""
        return self.provider.get_tracer("test")

    def spans(self) -> list[ReadableSpan]:
        """Return the spans that have ended since the last time."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Spans that are kept in memory."""
    lab = Lab(TracerProvider(), InMemorySpanExporter())
    lab.provider.add_span_processor(SimpleSpanProcessor(lab.exporter))
    yield lab
    lab.provider.shutdown()


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_id(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def trace_ids(spans: list[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in spans if span.context is not None}


async def test_producer_consumer_and_child_are_one_trace(
    test: Session, app: JobQ, lab: Lab
) -> None:
    trace(app, tracer_provider=lab.provider)

    @app.job(name="child", queue="low")
    async def child() -> None: ...

    @app.job(name="parent", queue="high")
    def parent() -> None:
        child.delay()

    with lab.tracer.start_as_current_span("request") as request:
        sync = parent.delay()
        awaited = await parent.adelay()
    await test.arun_all()
    spans = {span_id(span): span for span in lab.spans()}
    assert len(trace_ids(list(spans.values()))) == 1
    ends = [span for span in spans.values() if span.name == "process low"]
    assert len(ends) == 2
    for end in ends:
        names = [end.name]
        while (above := parent_id(end)) in spans:
            end = spans[above]  # noqa: PLW2901  up to the root
            names.append(end.name)
        assert names == ["process low", "send low", "process high", "send high", "request"]
    sent = [span for span in spans.values() if span.name == "send high"]
    assert [parent_id(span) for span in sent] == [request.get_span_context().span_id] * 2
    assert [dict(span.attributes or {}) for span in sent] == [
        {
            "messaging.system": "jobq",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": "high",
            "messaging.message.id": handle.id,
            "jobq.job.name": "parent",
        }
        for handle in (sync, awaited)
    ]
    ran = [span for span in spans.values() if span.name == "process high"]
    assert [dict(span.attributes or {}) for span in ran] == [
        {
            "messaging.system": "jobq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "high",
            "messaging.consumer.group.name": "jobq",
            "messaging.message.id": handle.id,
            "jobq.job.name": "parent",
            "jobq.job.attempt": 1,
        }
        for handle in (sync, awaited)
    ]
    assert {span.kind for span in sent} == {SpanKind.PRODUCER}
    assert {span.kind for span in ran} == {SpanKind.CONSUMER}
    assert [link.context.span_id for span in ran for link in span.links] == [
        span_id(span) for span in sent
    ]


def test_retries_and_dead_letters_stay_in_the_trace(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)
    seen: list[object] = []

    @app.job(name="fail", retries=1, backoff=0)
    def fail() -> None:
        seen.append(baggage.get_baggage("tenant"))
        if len(seen) < 3:
            raise LookupError("not there")

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        handle = fail.delay()
    finally:
        context.detach(token)
    test.run_all()
    assert [letter.id for letter in test.dead_letters] == [handle.id]
    assert Letters(app.store, app.codec).retry([handle.id]).done == 1
    test.run_all()
    assert seen == ["acme"] * 3
    sent, *attempts = lab.spans()
    assert trace_ids([sent, *attempts]) == trace_ids([sent])
    assert [parent_id(span) for span in attempts] == [span_id(sent)] * 3
    assert [(span.attributes or {})["jobq.job.attempt"] for span in attempts] == [1, 2, 1]
    assert [span.status.status_code for span in attempts] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]
    assert attempts[0].status.description == "LookupError: not there"
    assert (attempts[0].attributes or {})["error.type"] == "LookupError"
    [event] = attempts[0].events
    said = dict(event.attributes or {})
    assert (event.name, said["exception.type"]) == ("exception", "LookupError")
    assert said["exception.message"] == "not there"
    assert "in fail\n" in str(said["exception.stacktrace"])
    assert "jobq/observe" not in str(said["exception.stacktrace"])


def test_sensitive_arguments_are_in_no_span(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)

    @app.job(name="log_in", sensitive="password", retries=0)
    def log_in(password: str) -> None:
        raise ValueError(f"wrong: {password}")

    log_in.delay("hunter2-secret")
    test.run_all()
    spans = lab.spans()
    assert spans[1].status.description == "ValueError: wrong: [redacted]"
    assert "hunter2" not in "".join(span.to_json() for span in spans)


def test_what_is_no_failure_is_none(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)

    @app.job(name="wait")
    def wait() -> None:
        raise Snooze(3600)

    wait.delay()
    test.run_all()
    _, span = lab.spans()
    assert span.status.status_code == StatusCode.UNSET
    assert (span.attributes or {})["jobq.job.outcome"] == "snoozed"


def test_each_call_of_a_map_has_a_span(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)
    work = app.job(lambda _n: None, name="work")
    work.map([(1,), (2,)])
    test.run_all()
    first, second, *attempts = lab.spans()
    assert [first.name, second.name] == ["create default"] * 2
    assert [parent_id(span) for span in attempts] == [span_id(first), span_id(second)]


def test_a_trace_of_its_own_is_linked(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider, same_trace=False)
    seen: list[object] = []

    @app.job(name="work")
    def work() -> None:
        seen.append(baggage.get_baggage("tenant"))

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    work.delay()
    context.detach(token)
    test.run_all()
    sent, span = lab.spans()
    assert span.parent is None
    assert len(trace_ids([sent, span])) == 2
    assert [link.context.span_id for link in span.links] == [span_id(sent)]
    assert seen == ["acme"]


def test_a_call_that_nobody_traced_starts_a_trace(test: Session, app: JobQ, lab: Lab) -> None:
    app.send("work")
    app.options(headers={"traceparent": "garbage"}).send("work")
    trace(app, tracer_provider=lab.provider)
    app.job(lambda: None, name="work")
    with lab.tracer.start_as_current_span("test"):
        test.run_all()
    for span in lab.spans()[:2]:
        assert (span.name, span.parent, span.links) == ("process default", None, ())


def test_a_trace_never_keeps_a_call_from_being_sent(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)
    seen: list[list[str]] = []
    app.job(lambda: seen.append(sorted(current_job().headers)), name="work")
    full = {"full": "x" * (MOST_BYTES - 4)}
    with lab.tracer.start_as_current_span("test"):
        token = context.attach(baggage.set_baggage("long", "x" * 4000))
        app.send("work")
        app.options(headers={"own": "x" * 5000}).send("work")
        app.options(headers=full).send("work")
        context.detach(token)
    test.run_all()
    assert seen == [["baggage", "traceparent"], ["own", "traceparent"], ["full"]]


def test_what_middleware_refuses_is_told(test: Session, app: JobQ, lab: Lab) -> None:
    trace(app, tracer_provider=lab.provider)

    @app.around_enqueue
    def refuse(call: Outgoing, forward: Callable[[Outgoing], object]) -> object:
        assert get_current_span().is_recording()
        raise EnqueueError("not today")

    with pytest.raises(EnqueueError):
        app.send("work")
    [span] = lab.spans()
    assert span.status.status_code == StatusCode.ERROR


def test_without_opentelemetry_the_error_names_the_extra() -> None:
    code = (
        "import sys, jobq, jobq.testing, jobq.cli.worker\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "sys.modules['opentelemetry'] = None\n"
        "import jobq.observe.tracing\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "ImportError: jobq.observe.tracing needs OpenTelemetry: pip install 'jobq[otel]'"
    )
