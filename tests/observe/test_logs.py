"""The log: its form, and what a machine reads out of it."""

import ast
import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

import pytest

from jobq import JobQ
from jobq.core.current import RunningJob, moment, running
from jobq.errors import JobTimedOut
from jobq.observe import logs
from jobq.observe.events import event_of
from jobq.observe.joblog import JobLogHandler
from jobq.observe.logs import JsonFormatter, TextFormatter, configure
from jobq.runtime.arguments import arguments_of
from tests.support import log_calls as calls

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "logging.md"

#: What every line has, in JSON.
RESERVED = {"at", "level", "logger", "process", "message", "event", "traceback", "stack", "extra"}

EVENTS = calls.log_calls()


def test_each_log_call_keeps_the_form() -> None:
    rows = documented()
    wrong = [f"{one.where}: {fault}" for one in EVENTS if (fault := fault_of(one, rows))]
    assert not wrong, "\n".join(wrong)


def fault_of(found: calls.LogCall, rows: dict[str, set[str]]) -> str:
    """Return what is wrong with a log call; empty: nothing."""
    if found.message is None:
        return "its message is not in one piece"
    event = event_of(found.message)
    if event is None:
        return f"{found.message!r} is not words and then key=value"
    keys = [field.key for field in event.fields]
    if RESERVED & set(keys) or len(set(keys)) != len(keys):
        return f"a key of {found.message!r} is taken"
    if event.name not in rows:
        return f"docs/guide/logging.md has no row `{event.name}`"
    return "" if set(keys) <= rows[event.name] else f"its row in docs/guide/logging.md lacks {keys}"


def documented() -> dict[str, set[str]]:
    """Return the keys of each event in the guide."""
    table = GUIDE.read_text(encoding="utf-8").partition("\n## Events\n")[2]
    rows = re.findall(r"^\| `([^`]+)` \|([^|]*)\|", table, re.MULTILINE)
    return {event: set(re.findall(r"`(\w+)`", keys)) for event, keys in rows}


def test_the_guide_has_no_event_that_is_never_logged() -> None:
    logged: dict[str, set[str]] = {}
    for found in EVENTS:
        event = event_of(found.message or "")
        if event is not None:
            logged.setdefault(event.name, set()).update(field.key for field in event.fields)
    assert {
        name: keys for name, keys in documented().items() if keys - logged.get(name, set())
    } == {}
    assert set(documented()) <= set(logged)


@pytest.mark.parametrize(
    "message",
    ["%s job=%s", "no value=", "job=%s", "said %s", "a b: c=%s", "a b=%s c", "a B=%s", "a b='it"],
)
def test_other_forms_are_seen(message: str) -> None:
    assert event_of(message) is None


def test_a_call_is_found_wherever_its_text_stands() -> None:
    tree = ast.parse(
        "A: Final = 'a b=%d'\n"
        "def f():\n    said = 'c'\n    log.info(said)\n    log.debug(A, 1)\n    log.info(f'{f}')\n"
        "    log.level('x')\n    def g():\n        log.error('d')\n"
    )
    found = {(one.level, one.message) for one in calls._calls("m", tree)}
    assert found == {("info", "c"), ("debug", "a b=%d"), ("info", None), ("error", "d")}


# ---------------------------------------------------------------------------- lines


@pytest.fixture
def out() -> StringIO:
    return StringIO()


@pytest.fixture
def log(out: StringIO) -> Iterator[logging.Logger]:
    """A logger of jobq that writes JSON."""
    with_json = logging.StreamHandler(out)
    with_json.setFormatter(JsonFormatter())
    logger = logging.getLogger("jobq.test")
    logger.propagate = False
    logger.handlers[:] = [with_json]
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def test_json_has_the_keys_as_fields(log: logging.Logger, out: StringIO) -> None:
    log.warning(
        "failed job=%s attempt=%d retry_in=%.1fs rss=%.0fMB reason=%r fix='do: this' left=%s",
        "j1",
        2,
        1.26,
        3e6,
        "it's so",
        None,
    )
    said = json.loads(out.getvalue())
    fields = {key: said[key] for key in said if key not in RESERVED}
    assert said["event"] == "failed"
    assert fields == {
        "job": "j1",
        "attempt": 2,
        "retry_in": 1.3,
        "rss": 3e6,
        "reason": "it's so",
        "fix": "do: this",
        "left": None,
    }
    assert said["message"].startswith("failed job=j1 attempt=2 retry_in=1.3s rss=3000000MB reason=")


def test_whatever_is_logged_is_one_line_of_json(log: logging.Logger, out: StringIO) -> None:
    loop: list[object] = []
    loop.append(loop)

    class Bad:
        def __str__(self) -> str:
            raise ValueError

    log.info("ran\x1b[31m\n %s", "\u202e", extra={"loop": loop, "nan": float("nan")})
    log.info("other", extra={"bad": Bad(), "path": Path("/x"), "keys": {(1, 2): 3}})
    log.info("failed job=%s", Bad.__name__)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["message"] for line in lines][:2] == ["ran\x1b[31m\n \u202e", "other"]
    assert lines[0]["extra"].startswith("{'loop': [[...]], 'nan'")
    assert lines[1]["extra"]["path"] == "/x"
    assert lines[2]["event"] == "failed"
    assert out.getvalue().isascii()


class Delivered:
    """What stands for a job that runs."""

    running_job = RunningJob("j1", "jobs.f", "mail", 2, moment(0))

    def redact(self, text: str) -> str:
        return text


@contextmanager
def in_worker(form: logs.Format = "text", *handlers: logging.Handler) -> Iterator[StringIO]:
    """Configure logging as a worker does whose app has put handlers there.

    Yields:
        What goes to stderr.
    """
    root, ours = logging.getLogger(), logging.getLogger("jobq")
    before = root.handlers, root.level, ours.handlers, ours.propagate, ours.level
    made = logging.getLogRecordFactory()
    root.handlers, ours.handlers = list(handlers), []
    with redirect_stderr(StringIO()) as stream:
        settle = configure(form, verbose=False)
    logging.getLogger("jobq.worker").disabled = True  # as dictConfig() leaves it
    settle()
    settle()  # a worker that is replaced does it again
    try:
        yield stream
    finally:
        logging.setLogRecordFactory(made)
        root.handlers, level, ours.handlers, ours.propagate, our_level = before
        root.setLevel(level)
        ours.setLevel(our_level)


@contextmanager
def in_job() -> Iterator[None]:
    token = running.set(Delivered())
    yield
    running.reset(token)


def test_every_line_inside_of_a_job_tells_which() -> None:
    with in_worker() as said:
        users = logging.getLogger("shop.mail")
        users.info("outside\nof a job")
        with in_job():
            users.info("sent to %s", "ada", extra={"job": "x", "job_id": "x"})
            users.debug("not shown")
            logging.getLogger("jobq.worker").info("cancelled job=%s name=%s", "j1", "jobs.f")
    lines = [line.partition(" ")[2].strip() for line in said.getvalue().splitlines()]
    assert lines == [
        r"info    shop.mail: outside\x0aof a job",
        "info    shop.mail: sent to ada job=j1 name=jobs.f queue=mail attempt=2",
        "info    cancelled job=j1 name=jobs.f",
    ]


def test_the_same_as_json() -> None:
    with in_worker("json") as out, in_job():
        logging.getLogger("shop").warning("failed job=%s", 7, extra={"user": 3})
    said = json.loads(out.getvalue())
    assert {key: said[key] for key in ("job", "name", "queue", "attempt", "extra")} == {
        "job": "j1",
        "name": "jobs.f",
        "queue": "mail",
        "attempt": 2,
        "extra": {"user": 3},
    }
    assert (said["message"], said["logger"]) == ("failed job=7", "shop")
    assert "event" not in said, "it is no event of jobq"


def test_what_a_user_has_configured_stays() -> None:
    own = logging.StreamHandler(StringIO())
    own.setFormatter(logging.Formatter("%(message)s %(jobq_id)s", defaults={"jobq_id": "nowhere"}))
    with in_worker("text", own) as said:
        logging.getLogger("shop").warning("outside")
        with in_job():
            logging.getLogger("shop").warning("inside")
            logging.getLogger("shop").info("below the level of the user")
        logging.getLogger("jobq.worker").warning("lost redis error=%s", "x")
        assert logging.getLogger().handlers == [own]
    assert own.stream.getvalue() == "outside nowhere\ninside j1\n"
    assert said.getvalue().endswith("warning lost redis error=x\n")


def test_a_handler_that_keeps_lines_with_their_job_is_no_configuration() -> None:
    with in_worker("text", JobLogHandler()) as said:
        logging.getLogger("shop").info("seen")
    assert "shop: seen" in said.getvalue()


def test_tracebacks_of_text_are_indented(out: StringIO) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(TextFormatter())
    record = logging.makeLogRecord({"name": "jobq.x", "msg": "worker failed", "exc_text": "a\nb"})
    handler.emit(record)
    assert out.getvalue().splitlines()[1:] == ["    a", "    b"]


def test_arguments_are_shown_as_they_may_be() -> None:
    with JobQ() as app:
        args = ("ada", "open sesame", {"token": "open sesame"}, "x" * 5000, 7)
        blob = app.codec.encode_call("f", args, {"key": "0123456789"}, {"s": [1]})
        shown = arguments_of(blob, app.codec, ("key",))
    assert shown.startswith("('ada', [redacted], {'token': '[redacted]'}, 'xxx")
    assert shown.endswith("xxx', 7, key=[redacted])")
    assert len(shown) < 400


@pytest.mark.parametrize("kept", [True, False])
def test_the_end_of_the_time_of_a_job_is_not_lost_in_a_handler(kept: bool) -> None:
    class Slow:
        def __str__(self) -> str:
            raise JobTimedOut(1.0)  # as the signal does, wherever it finds the job

    with in_worker("text", *([JobLogHandler()] if kept else [])), in_job():  # noqa: SIM117
        with pytest.raises(JobTimedOut):
            logging.getLogger("shop").info("%s", Slow())


def test_a_job_that_is_ended_as_it_logs_leaves_no_lock_behind() -> None:
    # Of logging's own handlers it would, between the lock and the block that gives it back.
    handler = JobLogHandler()
    left = threading.Thread(target=handler.acquire)
    left.start()
    left.join()
    record = logging.LogRecord("shop", logging.INFO, "", 0, "said", (), None)
    logging_thread = threading.Thread(target=handler.handle, args=(record,), daemon=True)
    logging_thread.start()
    logging_thread.join(10)
    assert not logging_thread.is_alive()
