"""Middleware around the sending of calls, and the headers that travel with them."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace

import pytest

from jobq import JobHandle, JobQ
from jobq.core.hooks import Outgoing, Sent
from jobq.errors import ArgumentError, DuplicateJob, EnqueueError, OptionError, StoreError
from tests.client.hand import Hand
from tests.support.proxy import Proxy
from tests.support.server import Server

Forward = Callable[[Outgoing], Sent]
AsyncForward = Callable[[Outgoing], Awaitable[Sent]]

tenant: ContextVar[str] = ContextVar("tenant")


def add(a: int, b: int = 0) -> int:
    return a + b


def marking(app: JobQ, *words: str) -> list[str]:
    """Register middleware, sync and async, one for each word; returns what they will say."""
    said: list[str] = []

    def register(word: str) -> None:
        @app.around_enqueue
        def mark(call: Outgoing, forward: Forward) -> Sent:
            said.append(f"{word} before")
            call.headers[word] = f"{call.name}{call.args}"
            sent = forward(call)
            said.append(f"{word} after {sent.id}")
            return sent

        @app.around_enqueue
        async def amark(call: Outgoing, forward: AsyncForward) -> Sent:
            said.append(f"{word} before")
            call.headers[word] = f"{call.name}{call.args}"
            sent = await forward(call)
            said.append(f"{word} after {sent.id}")
            return sent

    for word in words:
        register(word)
    return said


async def test_the_first_one_is_the_outermost(app: JobQ, hand: Hand) -> None:
    adding = app.job(add, name="add")
    adding.delay(0)
    before = adding.options(headers={"own": "x"})  # made before there is middleware
    said = marking(app, "first", "second")
    handles: list[Sent] = [before.delay(1), await before.adelay(1), app.send("add", 1)]
    handles += [await app.asend("add", 1), before.s(1).delay(), await before.s(1).adelay()]
    for handle in handles:
        expected = ["first before", "second before"]
        expected += [f"second after {handle.id}", f"first after {handle.id}"]
        assert [said.pop(0) for _ in range(4)] == expected
    await app.aclose()
    assert not said
    plain, *calls = hand.calls(count=7)
    assert plain.headers == {}
    marks = {"first": "add(1,)", "second": "add(1,)"}
    own = {"own": "x", **marks}
    assert [call.headers["m"] for call in calls] == [own, own, marks, marks, own, own]


async def test_each_call_of_a_map_passes_before_all_are_sent(
    far: JobQ, hand: Hand, proxy: Proxy
) -> None:
    adding = far.job(add, name="add")
    said = marking(far, "one")
    calls: list[tuple[object, ...]] = [(number,) for number in range(1500)]
    handles = adding.map(calls)
    scripts = [words for words in proxy.commands if words[0] == b"EVALSHA"]
    assert len(scripts) <= 3  # still 1,000 a round trip
    handles += await adding.amap(calls)
    await far.aclose()
    assert [one.partition("after ")[2] for one in said[1::2]] == [one.id for one in handles]
    taken = hand.take(count=3000)
    assert [one.job_id for one in taken] == [one.id for one in handles]
    last = hand.codec.decode_call(taken[-1].call)
    assert (last.args, last.headers) == ([1499], {"m": {"one": "add(1499,)"}})


async def test_arguments_queue_and_headers_can_be_changed(app: JobQ, hand: Hand) -> None:
    adding = app.job(add, name="add")
    handles: list[Sent]

    def changed(call: Outgoing) -> Outgoing:
        number = call.kwargs["a"] if "a" in call.kwargs else call.args[0]
        odd = isinstance(number, int) and number % 2
        return replace(
            call, args=(number,), kwargs={"b": 7}, queue="odd" if odd else call.queue, headers={}
        )

    @app.around_enqueue
    def change(call: Outgoing, forward: Forward) -> Sent:
        return forward(changed(call))

    @app.around_enqueue
    async def achange(call: Outgoing, forward: AsyncForward) -> Sent:
        return await forward(changed(call))

    carrying = adding.options(headers={"gone": "soon"})
    handles = [carrying.delay(0), carrying.delay(1), await carrying.adelay(1)]
    handles += carrying.map([(number,) for number in range(2, 6)])
    handles += await carrying.amap([{"a": 6}])
    await app.aclose()
    queues = ["default", "odd", "odd", "default", "odd", "default", "odd", "default"]
    assert [handle.queue for handle in handles] == queues
    for queue, numbers in (("default", [0, 2, 4, 6]), ("odd", [1, 1, 3, 5])):
        taken = hand.take(queue, count=len(numbers))
        assert [one.job_id for one in taken] == [one.id for one in handles if one.queue == queue]
        calls = [hand.codec.decode_call(one.call) for one in taken]
        assert [(one.args, one.kwargs, one.headers) for one in calls] == [
            ([number], {"b": 7}, {}) for number in numbers
        ]


def test_a_changed_call_is_signed_for_where_it_goes(server: Server, hand: Hand) -> None:
    with JobQ(server.url, signing_keys={"k": "s" * 32}) as app:

        @app.around_enqueue
        def to_b(call: Outgoing, forward: Forward) -> Sent:
            call.headers["to"] = "b"
            return forward(replace(call, queue="b"))

        handles: list[Sent] = [app.send("x", 1), *app.job(add, name="x").map([(1,), (2,)])]
        assert app.signer is not None
        for one in hand.take("b", count=3):
            call = app.signer.open("b", one.job_id.encode(), one.call)
            assert hand.codec.decode_call(call).headers == {"m": {"to": "b"}}
        assert {one.queue for one in handles} == {"b"}


def test_context_variables_are_those_of_the_caller(app: JobQ, hand: Hand) -> None:
    @app.around_enqueue
    def add_tenant(call: Outgoing, forward: Forward) -> Sent:
        call.headers["tenant"] = tenant.get()
        return forward(call)

    token = tenant.set("acme")
    try:
        app.send("x")
    finally:
        tenant.reset(token)
    assert hand.calls()[0].headers == {"m": {"tenant": "acme"}}
    with pytest.raises(LookupError):  # what it raises is raised, and nothing is sent
        app.send("x")


@pytest.mark.parametrize("many", [False, True])
def test_what_is_no_call_and_no_job_is_refused(
    app: JobQ,
    server: Server,
    many: bool,
) -> None:
    wrong: list[Callable[[Outgoing, Forward], object]] = []

    @app.around_enqueue
    def go_wrong(call: Outgoing, forward: Forward) -> object:
        return wrong[-1](call, forward)

    adding = app.job(add, name="add")

    def send(*args: object) -> object:
        return adding.map([args]) if many else app.send("add", *args)

    def check(error: type[Exception], text: str) -> None:
        with pytest.raises(error) as caught:
            send(1)
        assert text in str(caught.value)
        assert server.cli("EXISTS", "jobq:{default}:jobs") == 0

    wrong.append(lambda _call, _forward: None)
    check(EnqueueError, "middleware of app.around_enqueue returned None: it must return what")
    wrong.append(lambda _call, forward: forward("x"))  # type: ignore[arg-type]
    check(EnqueueError, "add: middleware called forward() with a str: it takes the call")
    wrong.append(lambda call, forward: forward(replace(call, name="other")))
    check(EnqueueError, "with a call of 'other': it takes the call, or dataclasses.replace(call")
    wrong.append(lambda call, _forward: call)
    check(EnqueueError, "returned a Outgoing: it must return what forward(call) returns")
    wrong.append(lambda call, forward: forward(replace(call, queue="a b")))
    check(OptionError, "queue is 'a b'")
    wrong.append(lambda call, forward: forward(replace(call, headers={"a": "b" * 9000})))
    check(OptionError, "headers has 9001 bytes")
    wrong.append(lambda call, forward: forward(replace(call, args=())))
    check(ArgumentError, "missing a required argument: 'a'")
    wrong.append(lambda call, forward: forward(call))
    assert send(1)


def test_calls_with_keys_are_sent_one_by_one(app: JobQ, server: Server) -> None:
    adding = app.job(add, name="add")
    said = marking(app, "one")
    keyed = adding.options(unique="args")
    handles = keyed.map([(1,), (2,), (1,)])
    assert handles[0] == handles[2]  # what forward() returned is the job that stands for it
    assert [one.partition("after ")[2] for one in said[1::2]] == [one.id for one in handles]
    with pytest.raises(DuplicateJob, match=r"map\(\): calls\[1\]: ") as caught:
        adding.options(unique="args", on_conflict="raise").map([(3,), (1,)])
    assert caught.value.__notes__ == ["map(): 1 of 2 jobs were enqueued before that"]


def test_middleware_sees_what_redis_refuses(app: JobQ, server: Server) -> None:
    seen: list[Exception] = []

    @app.around_enqueue
    def look(call: Outgoing, forward: Forward) -> Sent:
        try:
            return forward(call)
        except StoreError as error:
            seen.append(error)
            raise

    app.send("x")
    server.cli("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreError) as caught:
            app.send("x")
    finally:
        server.cli("CONFIG", "SET", "maxmemory", "0")
    assert seen == [caught.value]


def test_only_what_can_be_called_is_registered(app: JobQ) -> None:
    for register in (app.around_enqueue, app.around_run, app.on_failure, app.on_dead):
        with pytest.raises(OptionError, match=rf"app.{register.__name__} takes a function; got 7"):
            register(7)  # type: ignore[type-var]


def test_headers_are_an_option_of_a_call(app: JobQ, hand: Hand) -> None:
    adding = app.job(add, name="add")
    first = adding.options(headers={"a": "1", "b": "2"})
    sent: list[JobHandle[int]] = [first.delay(1), *first.map([(1,)])]
    sent += [first.options(headers={"c": "3"}).delay(1), first.options(retries=1).delay(1)]
    app.options(headers={"d": "4"}).send("add", 1)
    headers = [call.headers for call in hand.calls(count=5)]
    assert headers == [
        {"m": {"a": "1", "b": "2"}},
        {"m": {"a": "1", "b": "2"}},
        {"m": {"c": "3"}},
        {"m": {"a": "1", "b": "2"}, "r": 1},
        {"m": {"d": "4"}},
    ]
    with pytest.raises(OptionError, match=r"add.options\(\): headers\['a'\] is a int; use a str"):
        adding.options(headers={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(OptionError, match="cannot be set here"):
        app.job(add, headers={})  # type: ignore[call-overload]


def test_headers_move_with_a_job(server: Server, hand: Hand) -> None:
    with JobQ(server.url, signing_keys={"k": "s" * 32}) as app:
        handle = app.options(headers={"a": "1"}).send("x")
        app.queue("default").move("other")
        [one] = hand.take("other")
        assert app.signer is not None
        call = app.signer.open("other", handle.id.encode(), one.call)
        assert hand.codec.decode_call(call).headers == {"m": {"a": "1"}}
