"""Sensitive arguments are in the call, and nowhere else: no view, log, history or result."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from jobq import JobQ
from jobq.core.codec import Codec
from jobq.errors import ArgumentError, JobFailed, NotEncodable, OptionError
from jobq.store import keys
from jobq.store.ops.enqueue import enqueue, register_queue
from tests.scenario.ground import PATIENCE, Ground
from tests.support.server import Server

SECRET = "hunter2-and-more"
NUMBER = 4929_1234_5678

APP = """
import enum

class Kind(enum.Enum):
    GOOD = "good"

class Money:
    pass

def broken(plain):
    raise ValueError(f"what is {plain!r}?")

app.register_type(Money, name="money", encode=lambda _: "EUR", decode=broken)

@app.job(retries=1, backoff=0.01, sensitive=("password", "card"))
def login(user, password, *, card=None):
    try:
        {}[password]
    except KeyError as error:
        card and card.clear()
        raise RuntimeError(f"{user} with {password} and {error}: {card}") from error

@app.job(sensitive="*")
def dies(token):
    raise Dead(f"no such token: {token}")

@app.job(sensitive="*", retries=0)
def wrong(token: Kind):
    pass

@app.job(sensitive="token")
def keeps(token):
    return {token: object()}

@app.job(retries=0)
def forgetful(token):
    raise ValueError(token)
"""


def log_in(user: str, password: str, *, card: object = None) -> None:
    del user, password, card


def takes(token: str) -> None:
    del token


def takes_user(user: str) -> None:
    del user


def shows(text: str) -> list[str]:
    return [one for one in (SECRET, str(NUMBER), SECRET[:12]) if one in text]


@pytest.mark.slow
def test_the_values_are_nowhere_but_in_the_call(ground: Ground) -> None:
    ground.write(APP)
    app = ground.app
    login = app.job(name="jobs.login", sensitive=("password", "card"))(log_in)
    secret = app.job(name="jobs.dies", sensitive="*")(takes)
    wrong = app.job(name="jobs.wrong", sensitive="*")(takes)
    keeps = app.job(name="jobs.keeps", sensitive="token")(takes)
    handles = [
        login.delay("ada", SECRET, card={"number": [NUMBER]}),
        secret.delay(SECRET),
        wrong.delay(SECRET * 8),
    ]
    kept = keeps.delay(SECRET)
    with JobQ(ground.server.url) as stranger:  # the worker knows what is sensitive, the call not
        by_name = stranger.send("jobs.login", "bob", SECRET)
        waits = stranger.options(queue="other").send("jobs.login", "eve", "open")
    waiting = login.options(queue="other").delay("eve", SECRET)
    worker = ground.burst("--verbose", "-q", "default")
    assert shows(worker.text) == []
    assert "[redacted]" in worker.text
    for handle in handles:
        with pytest.raises(JobFailed) as failed:
            handle.result(5)
        assert shows(str(failed.value)) == []
        assert "[redacted]" in str(failed.value)
    with pytest.raises(JobFailed) as failed:
        by_name.result(5)
    assert shows(str(failed.value)) == []

    views = [
        ("dlq", "list"),
        *[("dlq", "show", one.id) for one in handles],
        ("job", "show", waiting.id),
        ("job", "show", waiting.id, "--json"),
        ("job", "show", kept.id),
    ]
    for words in views:
        said = ground.start("jobq", *words)
        said.check(PATIENCE)
        assert shows(said.text) == [], words
    shown = ground.start("jobq", "dlq", "show", handles[0].id).check(PATIENCE)
    assert "jobs.login('ada', [redacted], card=[redacted])" in shown
    assert "RuntimeError: ada with [redacted]" in shown
    assert "eve" in ground.start("jobq", "job", "show", waits.id).check(PATIENCE)
    exported = ground.start("jobq", "dlq", "export").check(PATIENCE)
    letters = {one["id"]: one for one in map(json.loads, exported.splitlines())}
    assert letters[handles[0].id]["args"] == ["ada", "[redacted]"]
    assert letters[handles[0].id]["kwargs"] == {"card": "[redacted]"}
    assert [one["id"] for one in letters.values() if shows(json.dumps(one))] == [by_name.id]

    # In Redis it stands in the calls alone.
    for _, fields in ground.server.cli("XRANGE", keys.dead("default"), "-", "+"):
        assert SECRET.encode() in fields[1]
        assert shows(repr(fields[2:])) == []
    assert shows(repr(ground.server.cli("HGETALL", keys.groups("default")))) == []
    for key in ground.server.cli("KEYS", "*:result:*"):
        assert shows(repr(ground.server.cli("GET", key))) == []


def test_calls_that_cannot_be_read_show_nothing(ground: Ground) -> None:
    ground.write(APP)

    class Money:
        pass

    codec = Codec()
    codec.register_type(Money, name="money", encode=lambda _: SECRET, decode=lambda _: Money())
    call = codec.encode_call("jobs.login", ("ada", [Money(), SECRET]), {}, {"s": [1]})
    ground.app.store.run(register_queue("default"))
    ground.app.store.run(enqueue("default", "odd", call))
    # No app at hand: the type is not known, and the call cannot be read.
    for words in (("job", "show", "odd"), ("job", "show", "odd", "--json")):
        said = ground.start("jobq", *words)
        said.check(PATIENCE)
        assert shows(said.text) == []
        assert "jobs.login" in said.text
    # The decoder raises: it is buried, and neither kept nor told.
    worker = ground.burst()
    assert shows(worker.text) == []
    ((_, fields),) = ground.server.cli("XRANGE", keys.dead("default"), "-", "+")
    assert shows(repr(fields)) == []
    [letter] = ground.dead()
    assert (letter["job"], letter["reason"]) == ("jobs.login", "unreadable")
    assert "what is '[redacted]'?" in letter["message"]


# ---------------------------------------------------------------------------- where it is sent


@pytest.fixture
def app(server: Server) -> Iterator[JobQ]:
    with JobQ(server.url) as app:
        yield app


class Vault:
    """Cannot travel, and says too much."""

    def __repr__(self) -> str:
        return f"Vault({SECRET})"


@dataclass
class Loud:
    inside: object


@pytest.mark.parametrize(
    ("value", "place"),
    ids=["object", "in a key", "deep", "in a set", "dataclass", "large"],
    argvalues=[
        (Vault(), "argument 'password'"),
        ([{SECRET: Vault()}], "argument 'password'"),
        ({SECRET: {1: [Vault()]}}, "argument 'password'"),
        ({(SECRET, Vault())}, "argument 'password'"),
        (Loud({SECRET: Vault()}), "argument 'password'"),
        (1 << 40_000, "argument 'password'"),
    ],
)
def test_errors_at_the_call_tell_no_values(app: JobQ, value: object, place: str) -> None:
    @app.job(name="login", sensitive=("password",))
    def login(user: str, password: object) -> None:
        del user, password

    attempts: list[Callable[[], object]] = [
        lambda: login.delay("ada", value),
        lambda: login.delay("ada", password=value),
        lambda: login.map([("ada", value)]),
        lambda: app.send("login", "ada", value),
    ]
    for attempt in attempts:
        with pytest.raises(NotEncodable, match=place) as caught:
            attempt()
        assert shows(str(caught.value)) == []
        assert caught.value.__suppress_context__
    with pytest.raises(ArgumentError) as refused:
        login.delay("ada", SECRET, SECRET)  # type: ignore[call-arg]
    assert shows(str(refused.value)) == []


def test_a_wrong_name_is_told_where_it_is_declared(app: JobQ) -> None:
    with pytest.raises(OptionError, match="sensitive names 'pin'; the parameters are: user"):

        @app.job(name="a", sensitive=("pin",))
        def one(user: str) -> None:
            del user

    with pytest.raises(OptionError, match="sensitive contains a int"):
        app.job(name="b", sensitive=(1,))(takes_user)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="'sensitive' cannot be set here; give it to @job"):
        JobQ(sensitive="*")  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="'sensitive' cannot be set here"):
        app.options(sensitive="*")  # type: ignore[call-arg]


def test_only_marked_functions_pay_for_it(app: JobQ, server: Server) -> None:
    app.job(name="plain")(takes_user).delay("ada")
    app.job(name="marked", sensitive="user")(takes_user).options(retries=1).delay("ada")
    rows = server.cli("XRANGE", keys.jobs("default"), "-", "+")
    headers = [Codec().decode_call(fields[1]).headers for _, fields in rows]
    assert headers == [{}, {"s": [0, "user"], "r": 1}]
