"""The thread that takes reports of jobs to Redis: in order, once, with bounded patience."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from jobq.core.clock import SystemClock
from jobq.core.codec import Codec
from jobq.core.signing import Signer
from jobq.errors import (
    AttemptLost,
    CallUntrusted,
    JobqError,
    JobTimedOut,
    StoreError,
    StoreUnavailable,
)
from jobq.runtime.inside import WINDOW, Inside, Report
from jobq.runtime.reporter import Reporter
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from jobq.store.ops import reports
from jobq.store.ops.settle import Attempt
from jobq.store.sync import Store
from jobq.store.wire import Script
from tests.store.line import WORKER, Line, steal
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.wait import wait_until

Make = Callable[..., Report]


@pytest.fixture
def line(store: Store) -> Line:
    return Line(store.run).open()


@pytest.fixture
def attempt(line: Line) -> Attempt:
    line.add("a")
    [one] = line.read(1)
    return one


@pytest.fixture
def make(proxy: Proxy, attempt: Attempt) -> Iterator[Make]:
    """Make the report of job a, of a worker behind the proxy."""
    made = []

    def start(signer: Signer | None = None, patience: float = 10.0) -> Report:
        reporter = Reporter(
            lambda: Connection(lambda: parse_url(proxy.url)),
            Codec(),
            signer,
            consumer=WORKER,
            clock=SystemClock(),
            patience=patience,
        )
        made.append(reporter)
        item = ("mail", attempt.entry, None, 0, None, 0)
        return Inside(lambda _item: True, reporter).of(item, b"a", lambda text: text)

    yield start
    for one in made:
        one.stop()


def streamed(store: Store) -> list[tuple[int, object]]:
    """Return the numbers and values of all chunks of job a."""
    found: list[tuple[int, object]] = []
    after = ""
    while page := store.run(reports.chunks("mail", "a", after)):
        after = page[-1][0]
        found += [(one.number, Codec().decode_value(one.blob)) for _, one in page if one]
    return found


def threads() -> set[str]:
    return {one.name for one in threading.enumerate()}


def test_there_is_no_thread_and_no_connection_before_the_first_report(
    make: Make, proxy: Proxy
) -> None:
    report = make()
    assert "jobq-reports" not in threads()
    assert proxy.knocks == 0
    report.progress(0.5, "")
    assert "jobq-reports" in threads()
    report.close(300_000)
    assert proxy.knocks == 1


def test_what_comes_often_goes_out_together(make: Make, proxy: Proxy, store: Store) -> None:
    report = make()
    for n in range(5000):
        report.progress(n / 5000, str(n))
        report.log(str(n), "INFO")
    report.close(300_000)
    progress = store.run(reports.progress("mail", "a"))
    assert progress is not None
    assert progress.note == "4999"
    sent = [one for one in proxy.commands if one[0] == b"EVALSHA"]
    assert len(sent) < 500
    page = store.run(reports.lines("mail", "a"))
    assert [line.text for _, line in page if line] == [str(n) for n in range(4800, 4900)]


@pytest.mark.parametrize("how", ["before", "after", "amid"])
def test_a_cut_neither_loses_nor_doubles(make: Make, proxy: Proxy, store: Store, how: str) -> None:
    report = make()
    report.checkpoint("first")
    sha = Script("report").sha
    break_at = {
        "before": proxy.cut_before_request,
        "after": proxy.cut_after_request,
        "amid": proxy.cut_amid_reply,
    }[how]
    for n in range(1, 31):
        fault = break_at(sha) if n % 10 == 0 else None
        report.stream(n)
        if n % 10 == 0:
            report.checkpoint(n)
            assert fault is not None
            fault.wait()
    report.close(300_000)
    assert streamed(store) == [(n, n) for n in range(1, 31)]
    assert store.run(reports.checkpoint("mail", "a")) == bytes([30])


def test_a_full_buffer_makes_it_wait(make: Make, proxy: Proxy, store: Store) -> None:
    report = make()
    report.checkpoint(None)
    proxy.black_hole()
    put: list[int] = []

    def stream() -> None:
        for n in range(3 * WINDOW):
            report.stream(n)
            put.append(n)

    job = threading.Thread(target=stream, daemon=True)
    job.start()
    wait_until(lambda: len(put) >= WINDOW, "the buffer is full")
    assert len(put) <= 2 * WINDOW + 2
    assert job.is_alive()
    proxy.restore()
    job.join(30.0)
    assert len(put) == 3 * WINDOW
    report.close(300_000)
    assert streamed(store) == [(n + 1, n) for n in range(3 * WINDOW)]


def test_who_has_lost_the_job_is_told(
    make: Make, server: Server, attempt: Attempt, store: Store
) -> None:
    report = make()
    report.checkpoint(1)
    steal(server, attempt)
    with pytest.raises(AttemptLost):
        report.checkpoint(2)
    with pytest.raises(AttemptLost):
        report.stream("late")
    report.log("late", "INFO")
    report.progress(1.0, "late")
    report.close(300_000)
    assert store.run(reports.checkpoint("mail", "a")) == b"\x01"
    assert streamed(store) == []
    assert store.run(reports.lines("mail", "a")) == []


def test_while_redis_is_away_the_job_goes_on(
    make: Make, proxy: Proxy, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    report = make(patience=0.2)
    report.stream("first")
    report.checkpoint(1)
    proxy.refuse()
    proxy.cut()
    with pytest.raises(StoreUnavailable):
        report.checkpoint(2)
    for n in range(2 * WINDOW):
        report.stream(n)
    report.log("lost", "INFO")
    proxy.accept()
    report.checkpoint(3)
    report.stream("last")
    report.close(300_000)
    assert store.run(reports.checkpoint("mail", "a")) == b"\x03"
    found = streamed(store)
    assert found[0] == (1, "first")
    assert found[-1] == (2 * WINDOW + 2, "last"), "the numbers tell that some are missing"
    said = [one.message for one in caplog.records]
    assert len([text for text in said if text.startswith("drops reports")]) == 1
    assert "keeps reports again" in said


async def test_coroutines_wait_on_their_loop(make: Make, store: Store) -> None:
    report = make()
    await asyncio.gather(*(report.astream(n) for n in range(3 * WINDOW)))
    await report.acheckpoint({"at": 7})
    assert await report.acheckpointed() == {"at": 7}
    await report.aclose(300_000)
    assert {value for _, value in streamed(store)} == set(range(3 * WINDOW))
    with pytest.raises(JobqError, match="has ended"):
        await report.astream(1)


def test_a_job_that_only_asks_writes_nothing(make: Make, server: Server) -> None:
    report = make()
    assert report.checkpointed() is None
    report.close(300_000)
    assert server.cli("EXISTS", keys.progress("mail", "a")) == 0


def test_a_signed_checkpoint_is_from_nobody_else(make: Make, server: Server) -> None:
    signer = Signer({"k": b"0123456789abcdef0123456789abcdef"})
    report = make(signer)
    report.checkpoint("mine")
    again = make(signer)
    assert again.checkpointed() == "mine"
    signed_call = signer.sign("mail", "a", b"\xa4evil")
    for forged in (b"\xa4evil", signed_call):
        server.cli("SET", keys.checkpoint("mail", "a"), forged, "KEEPTTL")
        with pytest.raises(CallUntrusted):
            make(signer).checkpointed()


def test_another_process_reports_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()  # as a child that a job has forked finds it
    inside = Inside(lambda _item: True, made._courier)
    monkeypatch.setattr("os.getpid", lambda: 1)
    with pytest.raises(JobqError, match="from the process of its worker"):
        inside.of(("mail", b"1-1", None, 0, None, 0), b"b", lambda text: text)


def test_what_ends_a_job_as_it_reports_does_not_keep_back_what_comes_after(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = make()

    def poke(_report: Report) -> None:
        raise JobTimedOut(1.0)

    with monkeypatch.context() as amid:
        amid.setattr(report._courier, "poke", poke)
        with pytest.raises(JobTimedOut):
            report.stream("a")
    report.stream("b")
    wait_until(lambda: streamed(store) == [(1, "a"), (2, "b")], "both have come")


def test_a_refusal_is_logged_once(
    make: Make, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.cli("SET", keys.chunks("mail", "a"), "of somebody else")
    report = make()
    for n in range(3):
        with pytest.raises(StoreError):
            report.checkpoint(n)
    report.close(300_000)
    server.cli("DEL", keys.chunks("mail", "a"))
    assert len([one for one in caplog.messages if one.startswith("kept no reports")]) == 1
