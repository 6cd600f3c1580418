"""Passwords and secrets are in no error, repr, log or traceback; strangers write no lines."""

import asyncio
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr

import pytest

from jobq import JobQ
from jobq.errors import JobqError, StoreDenied
from jobq.observe.logs import configure
from jobq.runtime.hello import Hello
from jobq.store.address import parse_url
from jobq.store.connection import Connection
from tests.conftest import Spawn, StartServer
from tests.scenario.ground import PATIENCE, Ground
from tests.store.peers import Peer

PASSWORD = "sesame-open"
SIGNING = "a-secret-of-more-than-16-bytes"


def told(error: BaseException) -> str:
    """Return all that a report of an error may show, the locals of jobq's own frames too."""
    shown = traceback.TracebackException.from_exception(error)
    return "".join(shown.format()) + repr(error) + repr(error.args) + repr(error.__cause__)


def failing(url: str) -> list[BaseException]:
    """Return what goes wrong with a URL, in blocking code and on a loop."""
    caught: list[BaseException] = []
    with JobQ(url, signing_keys={"a": SIGNING}) as app:
        app.store.patience = 0.0
        try:
            app.send("f")
        except JobqError as error:
            caught.append(error)

    async def send() -> None:
        async with JobQ(url, signing_keys={"a": SIGNING}) as app:
            app.astore._patience = 0.0
            try:
                await app.asend("f")
            except JobqError as error:
                caught.append(error)

    asyncio.run(send())
    return caught


def test_a_server_that_refuses(start_server: StartServer) -> None:
    guarded = start_server({"requirepass": "right"})
    urls = (
        f"unix://:{PASSWORD}@{guarded.socket}",
        f"unix://ada:{PASSWORD}@{guarded.socket}",
        f"redis://ada:{PASSWORD}@127.0.0.1:1",
        f"redis://:{PASSWORD}@nowhere.invalid",
        f"rediss://:{PASSWORD}@127.0.0.1:1?ssl_ca_certs=/no/such",
        f"unix://:{PASSWORD}@/no/such/socket",
    )
    for url in urls:
        caught = failing(url)
        assert len(caught) == 2, url
        for error in caught:
            assert PASSWORD not in told(error)
            assert SIGNING not in told(error)


def test_a_server_that_repeats_the_password() -> None:
    def says(_number: int, words: tuple[bytes, ...]) -> bytes:
        told = b" ".join(words)
        return b"-ERR unknown command, with args beginning with: " + told + b"\r\n"

    with Peer(says) as peer:
        url = peer.url.replace("redis://", f"redis://ada:{PASSWORD}@")
        caught = failing(url)
    assert len(caught) == 2
    for error in caught:
        assert "args beginning with" in str(error)
        assert PASSWORD not in told(error)


@pytest.mark.parametrize(
    "make",
    [
        lambda url: JobQ(url, signing_keys={"a": SIGNING}),
        lambda url: JobQ(url, signing_keys={"a": SIGNING}).signer,
        lambda url: JobQ(url)._producer,
        lambda url: JobQ(url)._producer.where,
        lambda url: JobQ(url).store,
        lambda url: JobQ(url).handle("id", "queue"),
        lambda url: JobQ(url, signing_keys={"a": SIGNING})._producer._keyring,
        lambda url: JobQ(url).job(name="f")(lambda: None),
        lambda url: JobQ(url).options(queue="mail"),
        parse_url,
        lambda url: Connection(lambda: parse_url(url)),
        lambda url: Hello(
            url=url, safe_url=parse_url(url).safe, app="a", queues=(), jobs=(), lease=30.0
        ),
    ],
)
def test_reprs(make: Callable[[str], object]) -> None:
    made = make(f"redis://ada:{PASSWORD}@h")
    for shown in (repr(made), str(made), f"{[made]}"):
        assert PASSWORD not in shown
        assert SIGNING not in shown


def test_commands_and_their_tracebacks(
    start_server: StartServer, ground: Ground, spawn: Spawn
) -> None:
    guarded = start_server({"requirepass": "right"})
    ground.write("")
    url = f"unix://ada:{PASSWORD}@{guarded.socket}"
    env = {"JOBQ_REDIS_URL": url, "JOBQ_SIGNING_KEYS": f"a:{SIGNING}"}
    tried = [
        spawn("jobq", "--debug", "queues", env=env),
        spawn("jobq", "--debug", "queues", "--url", f"redis://:{PASSWORD}@127.0.0.1:1"),
        spawn("jobq", "--debug", "queues", "--url", f"redis://{PASSWORD}:x@h:99999999"),
        ground.start("jobq", "--debug", "worker", "--verbose", "--processes", "1", env=env),
    ]
    for child in tried:
        assert child.wait(PATIENCE) != 0
        assert PASSWORD not in child.text
        assert SIGNING not in child.text
    assert "Traceback" in tried[0].text
    assert "Check user and password" in tried[0].text


def test_a_refusal_says_what_to_do(start_server: StartServer) -> None:
    guarded = start_server({"requirepass": "right"})
    for error in failing(f"unix://:{PASSWORD}@{guarded.socket}"):
        assert isinstance(error, StoreDenied)
        assert "Check user and password in the URL" in str(error)


# ---------------------------------------------------------------------------- lines of strangers

NASTY = "a\n12:00:00.000 error   forged \x1b[31mred\x07 \x9b2J \u202egnp.exe \u2028 \x85 \r end"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What jobq logs."""
    logger = logging.getLogger("jobq")
    before = logger.handlers[:], logger.level, logger.propagate
    said = io.StringIO()
    with redirect_stderr(said):
        configure("text", verbose=True)
    yield said
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def fail() -> None:
    raise ValueError(NASTY)


def test_a_log_line_is_one_line(log: io.StringIO) -> None:
    logging.getLogger("jobq.worker").warning("failed job=%s error=%s", NASTY, ValueError(NASTY))
    try:
        fail()
    except ValueError:
        logging.getLogger("jobq.worker").exception("failed")
    first, *rest = log.getvalue().splitlines()
    assert "failed job=a\\x0a12:00:00.000 error   forged \\x1b[31mred" in first
    assert "\\u202e" in first
    assert rest[0].endswith("failed")
    assert all(line.startswith("    ") for line in rest[1:])
    assert not set(log.getvalue()) & set("\x1b\x07\x9b\u202e\u2028\x85\r")


def test_a_log_line_of_json_is_one_line(log: io.StringIO) -> None:
    with redirect_stderr(log):
        configure("json", verbose=False)
    logging.getLogger("jobq.worker").warning("failed job=%s", NASTY)
    (line,) = log.getvalue().splitlines()
    assert json.loads(line)["message"] == f"failed job={NASTY}"
    assert line.isascii()


@pytest.mark.slow
def test_a_worker_and_the_commands_write_no_lines_of_strangers(ground: Ground) -> None:
    ground.write(
        """
@app.job(retries=0)
def fails(text):
    raise ValueError(text)
"""
    )
    ground.send("jobs.fails", NASTY)
    ground.server.cli("SADD", "jobq:queues", f"queue {NASTY}")
    worker = ground.burst()
    said = worker.text
    for words in (("dlq", "list"), ("dlq", "show", ground.dead()[0]["id"]), ("queues",)):
        said += ground.start("jobq", *words).check(PATIENCE)
    debug = ground.start("jobq", "--debug", "dlq", "show", NASTY)
    assert debug.wait(PATIENCE) == 3
    said += debug.text
    assert not set(said) & set("\x1b\x07\x9b\u202e\u2028\x85")
    assert "error   forged" in said
    forged = [line for line in worker.lines if line.startswith("12:00:00.000 error")]
    assert not forged
    # Arguments are not logged: the text is there because the job has raised it.
    quiet = ground.send("jobs.fails", "said by nobody")
    assert quiet.id


def test_arguments_are_not_logged(ground: Ground) -> None:
    ground.write(
        """
@app.job(retries=1, backoff=0.01)
def fails(text, *, more):
    raise ValueError("nothing about it")

@app.job
def fine(text, *, more):
    pass
"""
    )
    for name in ("jobs.fails", "jobs.fine", "jobs.unknown"):
        ground.app.send(name, "an argument of ours", more=["another one"])
    worker = ground.start("jobq", "worker", "--burst", "--verbose")
    worker.check(PATIENCE)
    assert "nothing about it" in worker.text
    assert "argument of ours" not in worker.text
    assert "another one" not in worker.text
