"""Traces and middleware in real workers: what they see of jobs, and what is out when they end."""

import json
from typing import Any

import pytest

from tests.scenario.ground import PATIENCE, Ground
from tests.support.wait import wait_until

pytestmark = pytest.mark.slow

#: An app that is traced. Spans go out in batches, as in production, and the last batch at the end.
TRACED = """\
import json
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from jobq.observe.tracing import trace as traced

class Exporter(SpanExporter):
    def export(self, spans):
        for span in spans:
            trace("span", json.dumps(json.loads(span.to_json())).replace(" ", ""))
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(Exporter(), schedule_delay_millis=3_600_000))
otel.set_tracer_provider(provider)
traced(app)

@app.around_run
def look(job, forward):
    trace("around", job.name, job.attempt, job.headers.get("own", "-"))
    return forward()

@app.around_run
async def alook(job, forward):
    trace("around", job.name, job.attempt, job.headers.get("own", "-"))
    return await forward()

@app.job(retries=1, backoff=0)
def parent():
    child.delay()
    if current_job().attempt == 1:
        raise LookupError("not yet")
    trace("ran", 1)

@app.job
def child():
    trace("ran", 2)

@app.job(retries=1, backoff=0)
async def async_parent():
    await async_child.adelay()
    if current_job().attempt == 1:
        raise LookupError("not yet")
    trace("ran", 1)

@app.job
async def async_child():
    trace("ran", 2)

@app.job
def endless():
    trace("endless")
    while True:
        time.sleep(0.01)

@app.job
async def async_endless():
    trace("endless")
    await asyncio.sleep(60)

@app.job(retries=1, backoff=0)
def dying():
    if current_job().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    trace("ran", 1)
"""

W3C = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "own": "mine"}


def spans(ground: Ground) -> list[dict[str, Any]]:
    """Return the spans that were exported."""
    return [json.loads(words[0]) for words in ground.traced("span")]


@pytest.mark.parametrize(
    ("name", "options"),
    [("parent", ()), ("parent", ("--threads", "3")), ("async_parent", ("--concurrency", "10"))],
)
def test_spans_of_a_worker_are_linked_and_go_out_when_it_ends(
    ground: Ground, name: str, options: tuple[str, ...]
) -> None:
    ground.write(TRACED)
    ground.app.options(headers=W3C).send(f"jobs.{name}")
    ground.burst(*options)
    assert ground.ran() == {1: 1, 2: 2}
    mine = [words for words in ground.traced("around") if words[0] == f"jobs.{name}"]
    assert mine == [[f"jobs.{name}", "1", "mine"], [f"jobs.{name}", "2", "mine"]]
    found = spans(ground)
    assert {one["context"]["trace_id"] for one in found} == {"0x" + "a" * 32}
    ids = {one["context"]["span_id"]: one for one in found}
    attempts = [one for one in found if one["parent_id"] == "0x" + "b" * 16]
    assert sorted(one["attributes"]["jobq.job.attempt"] for one in attempts) == [1, 2]
    assert sorted(one["status"]["status_code"] for one in attempts) == ["ERROR", "UNSET"]
    sent = [one for one in found if one["name"] == "senddefault"]
    assert {one["parent_id"] for one in sent} == {one["context"]["span_id"] for one in attempts}
    children = [one for one in found if "child" in one["attributes"]["jobq.job.name"]]
    ran = [one for one in children if one["name"] == "processdefault"]
    assert len(ran) == 2
    assert {ids[one["parent_id"]]["name"] for one in ran} == {"senddefault"}
    assert len(found) == 6


@pytest.mark.parametrize("name", ["endless", "async_endless"])
def test_a_cancel_is_no_error(ground: Ground, name: str) -> None:
    ground.write(TRACED)
    handle = ground.app.send(f"jobs.{name}")
    worker = ground.start("jobq", "worker", "--burst")
    ground.wait_traced("endless")
    handle.cancel()
    worker.check(PATIENCE)
    [span] = spans(ground)
    assert span["status"]["status_code"] == "UNSET"
    assert span["attributes"]["jobq.job.outcome"] == "interrupted"


def test_the_trace_survives_the_process(ground: Ground) -> None:
    ground.write(TRACED)
    ground.app.options(headers=W3C).send("jobs.dying")
    ground.burst()
    assert ground.traced("around") == [["jobs.dying", "1", "mine"], ["jobs.dying", "2", "mine"]]
    [span] = spans(ground)  # of the attempt that was killed there is none
    assert span["parent_id"] == "0x" + "b" * 16
    assert span["attributes"]["jobq.job.attempt"] == 2


def test_ticks_of_schedules_carry_headers_and_signed_calls_too(ground: Ground) -> None:
    ground.env["JOBQ_SIGNING_KEYS"] = "k:" + "s" * 32
    ground.write(
        TRACED,
        """
@app.job(every=1)
def tick():
    trace("ran", 3)
""",
        "if 'ADD' in os.environ:\n"
        "    app.schedules.add('mine', child.options(headers={'own': 'x'}).s(), every=1)\n",
    )
    ground.start("python", "-c", "import jobs", env={"ADD": "1"}).check(30)
    worker = ground.worker()
    ground.wait_traced("around", 4)
    wait_until(
        lambda: {"jobs.child 1 x", "jobs.tick 1 -"} <= set(map(" ".join, ground.traced("around"))),
        "both schedules have ticked",
        30,
    )
    worker.terminate()
    assert worker.wait() == 0
    found = spans(ground)
    assert {one["attributes"]["jobq.job.name"] for one in found} == {"jobs.child", "jobs.tick"}
    assert {one["parent_id"] for one in found} == {None}  # nobody has sent them
    assert len({one["context"]["trace_id"] for one in found}) == len(found)


def test_what_the_app_leaves_to_the_end_of_its_process_is_done(ground: Ground) -> None:
    ground.write(
        """
import atexit

@app.job
def work():
    trace("ran", 1)

atexit.register(trace, "bye")

@atexit.register
def broken():
    raise SystemExit("no")
"""
    )
    ground.send("jobs.work")
    worker = ground.worker()
    ground.wait_traced("ran")
    worker.terminate()
    assert worker.wait() == 0
    assert len(ground.traced("bye")) == 1  # of the process that runs jobs; the supervisor runs none
