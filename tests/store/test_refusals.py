"""What Redis refuses: a typed error, and nothing written, or everything."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobq.core.fingerprint import NO_GROUP, group_of
from jobq.core.outcome import Failure
from jobq.core.result import CANCELLED
from jobq.errors import StoreDenied, StoreError, StoreFull, StoreReadOnly
from jobq.store import keys
from jobq.store.address import parse_url
from jobq.store.ops import control, enqueue, inspect, letters, manage, upkeep
from jobq.store.sync import Store
from jobq.store.wire import AnyOp, error_of
from tests.conftest import StartServer
from tests.store.conftest import CARRIERS, carrier
from tests.store.line import Line, everything, problems, resent
from tests.support.server import Server

EVERY_WAY = pytest.mark.parametrize("kind", CARRIERS)


# ---------------------------------------------------------------------------- out of memory


@pytest.fixture
def full(server: Server, mail: Line) -> Iterator[Line]:
    """A queue with jobs in each state, on a server without memory."""
    mail.add("a", "b", "c", "d", "e", "f", "g", "h")
    a, b, c, d, e = mail.read(5)
    for attempt in (a, b, c):
        assert mail.fail(attempt)
    assert mail.bury(d)
    assert ids_of(mail.claim(2)) == [b"a", b"b"]
    assert e.job_id == b"e"
    server.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.cli("CONFIG", "SET", "maxmemory", "1")
    yield mail
    server.cli("CONFIG", "SET", "maxmemory", "0")


def ids_of(attempts: list[Any]) -> list[bytes]:
    return [attempt.job_id for attempt in attempts]


ADDING = [
    enqueue.enqueue("mail", "new", b"call"),
    enqueue.enqueue_many("mail", [("new", b"call"), ("newer", b"call")]),
    enqueue.enqueue_unique("mail", "new", b"call"),
    enqueue.register_queue("mail"),
]


@EVERY_WAY
@pytest.mark.parametrize("op", ADDING, ids=["one", "many", "unique", "register"])
def test_a_full_redis_takes_no_new_job(full: Line, server: Server, kind: str, op: AnyOp) -> None:
    before = everything(server)
    with carrier(kind, server.url) as run, pytest.raises(StoreFull, match="nothing was added"):
        run(op)
    assert everything(server) == before


def test_a_full_redis_knows_a_resend(full: Line, server: Server) -> None:
    (lane, number) = server.cli("ZRANGE", keys.lanes("mail"), 0, -1, "WITHSCORES")
    before = everything(server)
    again = resent(enqueue.enqueue("mail", "h", b"call"), lane.decode(), int(number))
    assert full.run(again) == 0
    unique = resent(enqueue.enqueue_unique("mail", "h", b"call"), lane.decode(), int(number))
    assert full.run(unique) is True
    assert everything(server) == before


def test_a_full_redis_lets_jobs_end(full: Line, server: Server) -> None:
    (e,) = full.mine(full.jobs)
    a, b = full.mine(full.retries)
    assert full.finish(a, ttl=60_000)
    assert full.fail(b, history=b"longer history")
    f, g = full.read(2)
    assert full.settle([e], ttl=60_000) == []
    assert full.fail(f)
    assert full.bury(g, ttl=60_000)
    assert sorted(ids_of(full.claim(5))) == [b"b", b"c", b"f"]
    b, c, f = sorted(full.mine(full.retries), key=lambda one: one.job_id)
    assert full.release(b)
    assert full.bury(c, ttl=60_000)
    assert full.finish(f)
    assert full.cancel("h") == manage.CANCELLED_IT
    assert full.revive("c", full.letters()["c"])
    assert full.run(manage.purge("mail", "d", full.letters()["d"]))
    assert problems(server) == []
    assert full.count().totals == {
        "succeeded": 3, "retried": 5, "dead": 3, "cancelled": 1, "expired": 0,
    }  # fmt: skip


def test_a_full_redis_lets_jobs_be_cancelled(full: Line, server: Server) -> None:
    (e,) = full.mine(full.jobs)
    a, b = full.mine(full.retries)
    (f,) = full.read(1)
    for attempt in (a, b, e, f):
        assert full.cancel(attempt.job_id.decode()) == manage.IS_RUNNING
    assert problems(server) == []
    assert full.run(control.read("0-0")) == []
    entry = full.run(control.interrupt("mail", "e", full.run(manage.mark("mail", "e"))))
    command = control.Command(control.CANCEL, "e", "mail", "j" + e.entry.decode())
    assert full.run(control.read("0-0")) == [(entry, command)]
    assert full.cancelled(e)
    assert full.cancelled(a)
    assert full.fail(f)
    assert full.fail(b)
    for name in "abef":
        assert full.run(inspect.result("mail", name)) == CANCELLED
    assert full.count().totals["cancelled"] == 4
    assert problems(server) == []


def test_a_full_redis_lets_a_worker_start(full: Line, server: Server) -> None:
    assert full.run(upkeep.regroup("mail")) == 0
    assert full.run(upkeep.beat("w1", b"record", 60.0)) > 0
    assert [one.name for one in full.run(inspect.workers())] == ["w1"]
    server.cli("CONFIG", "SET", "maxmemory", "0")
    server.cli("XGROUP", "DESTROY", full.jobs, "jobq")
    server.cli("XGROUP", "DESTROY", full.retries, "jobq")
    server.cli("CONFIG", "SET", "maxmemory", "1")
    full.run(upkeep.regroup("mail"))
    assert ids_of(full.read(9)) == [b"e", b"f", b"g", b"h"]
    assert problems(server) == []


def test_a_full_redis_keeps_its_dead_letters(full: Line, server: Server) -> None:
    entry = full.letters()["d"]
    with pytest.raises(StoreFull):
        full.run(letters.edit("mail", "d", entry, b"call"))
    with pytest.raises(StoreFull):
        full.run(letters.take_in("mail", DEAD, group_of("call", Failure("E", "", ""))))
    assert full.letters() == {"d": entry}
    assert problems(server) == []


# ---------------------------------------------------------------------------- a replica


@EVERY_WAY
def test_a_replica(start_server: StartServer, server: Server, kind: str) -> None:
    replica = start_server()
    with carrier("store", replica.url) as run:
        Line(run).open().add("a", "b")
    replica.cli("REPLICAOF", "127.0.0.1", "1")
    replica.cli("CONFIG", "SET", "replica-serve-stale-data", "yes")
    before = everything(replica)
    with carrier(kind, replica.url) as run:
        line = Line(run)
        for write in (
            lambda: line.add("c"),
            lambda: line.run(enqueue.enqueue_unique("mail", "c", b"")),
            lambda: line.read(1),
            lambda: line.cancel("a"),
            lambda: line.run(upkeep.regroup("mail")),
            lambda: line.run(upkeep.beat("w1", b"record", 1.0)),
        ):
            with pytest.raises(StoreReadOnly):
                write()
        assert line.count().ready == 2
        assert line.look("a").state == "ready"
    assert everything(replica) == before


# ---------------------------------------------------------------------------- wrong types


def _states(line: Line) -> dict[str, Any]:
    """Put jobs in each state: what the ops below need."""
    for name in ("ready", "held", "bad"):
        line.add(name)
    line.add("dead", "parked", "again")
    _, held, bad, dead, parked, again = line.read(6)
    assert line.bury(dead)
    assert line.fail(again)
    (later,) = line.claim()
    assert line.fail(parked)
    line.add("waiting")
    return {"held": held, "bad": bad, "later": later, "entry": line.letters()["dead"]}


DEAD = inspect.DeadEntry("", "from afar", b"call", b"letter", at=b"1")

Act = Callable[[Line, dict[str, Any]], object]

#: Each op that writes more than one key → the keys that it may find to be of another type.
ACTS: dict[str, tuple[Act, tuple[Callable[[str], str], ...]]] = {
    "enqueue": (lambda line, _: line.add("x", "y"), (keys.jobs, keys.index, keys.lanes)),
    "unique": (
        lambda line, _: line.run(enqueue.enqueue_unique("mail", "x", b"")),
        (keys.jobs, keys.index, keys.lanes),
    ),
    "settle": (
        lambda line, seen: line.settle([seen["held"], seen["bad"]], ttl=9_000),
        (keys.jobs, keys.index, keys.meta, keys.cancels),
    ),
    "settle held": (
        lambda line, seen: line.settle([seen["held"], seen["bad"]], held=3, ttl=9_000),
        (keys.jobs, keys.index, keys.meta, keys.cancels),
    ),
    "finish": (
        lambda line, seen: line.finish(seen["later"], ttl=9_000),
        (keys.retries, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "retry": (
        lambda line, seen: line.fail(seen["held"]),
        (keys.jobs, keys.retries, keys.due, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "park": (
        lambda line, seen: line.fail(seen["later"]),
        (keys.retries, keys.due, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "bury": (
        lambda line, seen: line.bury(seen["held"], ttl=9_000),
        (keys.jobs, keys.dead, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "bury later": (
        lambda line, seen: line.bury(seen["later"], ttl=9_000),
        (keys.retries, keys.dead, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "cancel": (
        lambda line, _: line.cancel("waiting"),
        (keys.index, keys.jobs, keys.meta, keys.cancels),
    ),
    "cancel a retry": (
        lambda line, _: line.cancel("parked"),
        (keys.index, keys.retries, keys.due, keys.history, keys.meta, keys.cancels),
    ),
    "cancel what runs": (
        lambda line, _: line.cancel("held"),
        (keys.index, keys.jobs, keys.due, keys.history, keys.meta, keys.cancels),
    ),
    "cancelled": (
        lambda line, seen: line.cancelled(seen["held"]),
        (keys.jobs, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "cancelled later": (
        lambda line, seen: line.cancelled(seen["later"]),
        (keys.retries, keys.index, keys.history, keys.meta, keys.cancels),
    ),
    "revive": (
        lambda line, seen: line.revive("dead", seen["entry"]),
        (keys.dead, keys.jobs, keys.index, keys.cancels, keys.redated),
    ),
    "purge": (
        lambda line, seen: line.run(manage.purge("mail", "dead", seen["entry"])),
        (keys.dead, keys.index, keys.cancels, keys.redated),
    ),
    "edit": (
        lambda line, seen: line.run(letters.edit("mail", "dead", seen["entry"], b"call")),
        (keys.dead, keys.index, keys.redated),
    ),
    "import": (
        lambda line, _: line.run(letters.take_in("mail", DEAD, NO_GROUP)),
        (keys.dead, keys.index, keys.redated),
    ),
    "claim": (lambda line, _: line.claim(5), (keys.retries, keys.due, keys.history)),
    "regroup": (
        lambda line, _: line.run(upkeep.regroup("mail")),
        (
            keys.jobs,
            keys.retries,
            keys.due,
            keys.index,
            keys.history,
            keys.meta,
            keys.cancels,
        ),
    ),
    "sweep": (lambda line, _: line.run(upkeep.sweep_lanes("mail", 0.0)), (keys.lanes,)),
    "mine": (lambda line, _: line.mine(line.jobs), (keys.jobs, keys.history, keys.cancels)),
    "renew": (
        lambda line, seen: line.run(upkeep.renew(line.jobs, "w1", [seen["held"].entry])),
        (keys.jobs,),
    ),
    "read": (lambda line, _: line.read(), (keys.jobs,)),
}


@pytest.mark.parametrize(
    ("act", "key"),
    [
        pytest.param(act, key("mail"), id=f"{name}-{key.__name__}")
        for name, (act, wrong) in ACTS.items()
        for key in wrong
    ],
)
def test_a_key_of_another_type_fails_before_anything_is_written(
    mail: Line, server: Server, act: Act, key: str
) -> None:
    seen = _states(mail)
    if act is ACTS["regroup"][0]:  # so that it has something to do
        for stream in (mail.jobs, mail.retries):
            server.cli("XGROUP", "DESTROY", stream, "jobq")
    server.cli("SET", key, "a string", "PX", 60_000)
    before = everything(server)
    with pytest.raises(StoreError) as caught:
        act(mail, seen)
    assert caught.value.code == "WRONGTYPE"
    assert everything(server) == before


@pytest.mark.parametrize("act", ["retry", "bury", "bury later", "revive", "enqueue", "unique"])
def test_a_stream_that_can_grow_no_more_fails_before_anything_is_written(
    mail: Line, server: Server, act: str
) -> None:
    seen = _states(mail)
    greatest = f"{2**64 - 1}-{2**64 - 1}"
    stream = {"retry": mail.retries, "bury": keys.dead("mail"), "bury later": keys.dead("mail")}
    server.cli("XADD", stream.get(act, mail.jobs), greatest, "stranger", "entry")
    before = everything(server)
    with pytest.raises(StoreError, match="last possible ID"):
        ACTS[act][0](mail, seen)
    assert everything(server) == before


@pytest.mark.parametrize("act", ["retry", "park", "claim", "finish", "settle", "bury", "cancelled"])
def test_a_group_that_is_gone_fails_before_anything_is_written(
    mail: Line, server: Server, act: str
) -> None:
    seen = _states(mail)
    stream = mail.jobs if act in {"settle", "bury", "cancelled"} else mail.retries
    server.cli("XGROUP", "DESTROY", stream, "jobq")
    before = everything(server)
    with pytest.raises(StoreError) as caught:
        ACTS[act][0](mail, seen)
    assert caught.value.code == "NOGROUP"
    assert everything(server) == before


# ---------------------------------------------------------------------------- not allowed

SECRET = "hunter2-s3cret"


@EVERY_WAY
def test_a_wrong_password(start_server: StartServer, kind: str) -> None:
    guarded = start_server({"requirepass": "right"})
    with carrier(kind, f"unix://:{SECRET}@{guarded.socket}") as run:
        with pytest.raises(StoreDenied) as caught:
            run(upkeep.time_ms())
        assert caught.value.code in {"WRONGPASS", "ERR"}
        _says_nothing(caught.value)
    with carrier(kind, guarded.url) as run:
        with pytest.raises(StoreDenied) as caught:
            run(upkeep.time_ms())
        assert caught.value.code == "NOAUTH"
    with carrier(kind, f"unix://:right@{guarded.socket}") as run:
        assert run(upkeep.time_ms()) > 0


@EVERY_WAY
def test_a_user_who_may_not(start_server: StartServer, kind: str) -> None:
    guarded = start_server()
    guarded.cli(
        "ACL", "SETUSER", "ada", "on", f">{SECRET}", "~jobq:*", "+@all", "-evalsha", "-eval"
    )
    guarded.cli("ACL", "SETUSER", "bob", "on", "nopass", "~other:*", "&*", "+@all")
    guarded.cli("ACL", "SETUSER", "eve", "on", f">{SECRET}", "~*", "+@all", "-xadd")
    with carrier(kind, f"unix://ada:{SECRET}@{guarded.socket}") as run:
        assert run(inspect.queues()) == []
        with pytest.raises(StoreDenied) as caught:
            run(enqueue.enqueue("mail", "a", b""))
        _says_nothing(caught.value)
    with carrier(kind, f"unix://bob@{guarded.socket}") as run, pytest.raises(StoreDenied):
        run(enqueue.enqueue("mail", "a", b""))
    with carrier(kind, f"unix://eve:{SECRET}@{guarded.socket}") as run, pytest.raises(StoreDenied):
        run(enqueue.enqueue("mail", "a", b""))
    assert guarded.cli("EXISTS", keys.jobs("mail"), keys.index("mail")) == 0


def _says_nothing(error: BaseException) -> None:
    seen: BaseException | None = error
    while seen is not None:
        assert SECRET not in f"{seen} {seen!r} {seen.args}"
        seen = seen.__cause__ or seen.__context__


def test_the_password_is_in_no_repr() -> None:
    address = parse_url(f"redis://ada:{SECRET}@localhost:1/0")
    assert SECRET not in f"{address} {address!r} {address.safe}"
    store = Store(lambda: address, patience=0.0)
    with pytest.raises(StoreError) as caught:
        store.run(upkeep.time_ms())
    _says_nothing(caught.value)
    store.close()


@pytest.mark.parametrize(
    ("said", "code", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", "StoreFull"),
        (
            "ERR Error running script (call to f_0): @user_script: 9: -OOM command not allowed",
            "OOM",
            "StoreFull",
        ),
        ("READONLY You can't write against a read only replica.", "READONLY", "StoreReadOnly"),
        ("LOADING Redis is loading the dataset in memory", "LOADING", "StoreUnavailable"),
        ("BUSY Redis is busy running a script.", "BUSY", "StoreUnavailable"),
        ("BUSYGROUP Consumer Group name already exists", "BUSYGROUP", "StoreError"),
        ("WRONGPASS invalid username-password pair", "WRONGPASS", "StoreDenied"),
        ("NOPERM this user has no permissions", "NOPERM", "StoreDenied"),
        ("ERR syntax error", "ERR", "StoreError"),
        ("", "", "StoreError"),
    ],
)
def test_errors_of_redis_by_their_code(said: str, code: str, kind: str) -> None:
    error = error_of(Exception(said))
    assert (error.code, type(error).__name__) == (code, kind)
