"""Job functions: how they are made, what they refuse, and what a call puts into Redis."""

import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest
from pydantic import BaseModel

from jobq import Exponential, JobFunction, JobQ
from jobq.core.options import policy_with
from jobq.errors import (
    ArgumentError,
    ConfigError,
    DuplicateJob,
    EnqueueError,
    NotEncodable,
    OptionError,
)
from tests.client.hand import Hand
from tests.support.server import Server

P = ParamSpec("P")
R = TypeVar("R")

ON_TOP = JobQ()


@ON_TOP.job
def greet(name: str, *more: str, loud: bool = False) -> str:
    """Greet somebody."""
    return " ".join(["Hi", name, *more]) + ("!" if loud else "")


#: The function beneath, for other apps.
PLAIN: Any = vars(greet)["__wrapped__"]


@ON_TOP.job(queue="mail", retries=5)
async def fetch(url: str) -> int:
    return len(url)


class Service:
    @staticmethod
    @ON_TOP.job
    def inside(value: int) -> int:
        return value + 1

    @ON_TOP.job
    @staticmethod
    def outside(value: int) -> int:
        return value + 2

    @ON_TOP.job
    def method(self, value: int) -> int:
        return value


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class User(BaseModel):
    name: str


# ---------------------------------------------------------------------------- what it is


def test_a_plain_call_is_a_plain_call() -> None:
    assert greet("Ada", "Bob", loud=True) == "Hi Ada Bob!"


async def test_a_plain_call_of_an_async_function_gives_its_coroutine() -> None:
    assert await fetch("abc") == 3


def test_it_looks_like_its_function() -> None:
    assert greet.__name__ == "greet"
    assert greet.__doc__ == "Greet somebody."
    assert greet.__module__ == __name__
    assert str(inspect.signature(greet)) == "(name: str, *more: str, loud: bool = False) -> str"
    assert repr(fetch) == f"<AsyncJobFunction {__name__}.fetch in mail>"


def test_it_is_registered_with_all_that_was_declared() -> None:
    definition = ON_TOP.registry.get(f"{__name__}.fetch")
    assert definition is not None
    assert (definition.queue, definition.policy.retries, definition.is_async) == ("mail", 5, True)
    assert fetch.name == f"{__name__}.fetch"
    assert fetch.queue == "mail"


def test_staticmethods_are_job_functions_on_either_side() -> None:
    assert Service.inside(1) == 2
    assert Service().outside(1) == 3
    names = ON_TOP.registry.names()
    assert f"{__name__}.Service.inside" in names
    assert f"{__name__}.Service.outside" in names


@pytest.mark.parametrize("call", [Service().method.delay, Service.method.delay])
def test_a_method_says_at_the_call_that_it_cannot_be_one(call: Callable[..., object]) -> None:
    with pytest.raises(ArgumentError, match=r"Service.method is a method.*put @staticmethod"):
        call(1)


def test_attributes_of_the_function_hide_nothing() -> None:
    def function() -> None: ...

    vars(function)["delay"] = "tomorrow"
    assert callable(JobQ().job(function, name="f").delay)


def test_options_of_the_app_are_the_defaults() -> None:
    app = JobQ(queue="slow", retries=7, result_ttl="1h")
    app.job(PLAIN, name="a")
    app.job(PLAIN, name="b", retries=1)
    a, b = app.registry.get("a"), app.registry.get("b")
    assert a is not None
    assert b is not None
    assert (a.queue, a.policy.retries, a.policy.result_ttl) == ("slow", 7, 3600.0)
    assert (b.queue, b.policy.retries) == ("slow", 1)


# ---------------------------------------------------------------------------- names


def nested() -> None: ...


nested.__qualname__ = "outer.<locals>.nested"


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda: None, r"is a lambda.*name="),
        (nested, r"inside a function.*name="),
        (partial(greet, "Ada"), r"a partial has no name"),
    ],
)
def test_what_a_worker_would_not_find_needs_a_name(function: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        JobQ().job(function)
    app = JobQ()
    app.job(function, name="found")
    assert app.registry.names() == ["found"]


def test_two_functions_of_one_name_are_refused() -> None:
    app = JobQ()
    app.job(PLAIN, name="same")
    with pytest.raises(ConfigError, match="two job functions are named 'same'"):
        app.job(vars(fetch)["__wrapped__"], name="same")


SCRIPT = """
from jobq import JobQ
app = JobQ()
@app.job
def work() -> None: ...
if __name__ == "__main__":
    print(app.registry.names())
"""


@pytest.mark.parametrize("words", [["jobs.py"], ["-m", "jobs"]])
def test_a_script_names_its_functions_as_a_worker_does(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "jobs.py").write_text(SCRIPT)
    said = subprocess.check_output([sys.executable, *words], cwd=tmp_path, text=True)
    assert said == "['jobs.work']\n"


# ---------------------------------------------------------------------------- what it refuses


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Klass:
    @classmethod
    def method(cls) -> None: ...


@pytest.mark.parametrize(
    ("decorated", "problem"),
    [
        ("mail", r"was given a str.*@job\(queue="),
        (3, "was given a int"),
        (Klass, "was given a type"),
        (vars(Klass)["method"], "was given a classmethod"),
        (generator, "is a generator function"),
        (async_generator, "is a generator function"),
    ],
)
def test_what_is_no_function_is_refused(decorated: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        JobQ().job(decorated)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"retrys": 3}, r"@job: unknown option 'retrys'; did you mean 'retries'\?"),
        ({"retries": -1}, "@job: retries is -1"),
        ({"timeout": "soon"}, r"@job: timeout is 'soon'"),
        ({"queue": "a b"}, "@job: queue is 'a b'"),
        ({"backoff": Exponential}, "@job: backoff is the class Exponential"),
        ({"job_id": "1"}, r"@job: option 'job_id' belongs to a single call"),
    ],
)
def test_wrong_options_are_told_where_they_are_given(options: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        JobQ().job(**options)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"que": "a"}, r"greet.options\(\): unknown option 'que'; did you mean 'queue'\?"),
        ({"retry_on": ValueError}, "'retry_on' cannot be set here; give it to @job"),
        ({"backoff": lambda _attempt, _error: 1}, "function, which cannot travel"),
        ({"job_id": "a b"}, "job_id contains ' '"),
    ],
)
def test_wrong_options_of_a_call_are_told(options: Any, problem: str) -> None:
    with pytest.raises(OptionError, match=problem):
        greet.options(**options)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "missing a required argument: 'name'"),
        (("a",), {"name": "b"}, "multiple values for argument 'name'"),
        (("a",), {"lod": True}, "unexpected keyword argument 'lod'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_at_the_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], problem: str
) -> None:
    signature = r".*Its signature: .*greet\(name: str, \*more: str, loud: bool = False\) -> str"
    with pytest.raises(ArgumentError, match=f"greet: .*{problem}{signature}"):
        greet.delay(*args, **kwargs)
    with pytest.raises(TypeError):
        greet.delay(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        ((object(),), {}, "argument 'name'"),
        (("a", "b", [object()]), {}, r"argument '\*more\[1\]'\[0\]"),
        (("a",), {"loud": object()}, "argument 'loud'"),
    ],
)
def test_an_argument_that_cannot_travel_is_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], path: str
) -> None:
    with pytest.raises(NotEncodable, match=f"{path}.* has type object, which cannot travel"):
        greet.delay(*args, **kwargs)


def test_a_call_that_is_too_large_is_refused() -> None:
    with pytest.raises(EnqueueError, match=r"greet has more than 512 KiB"):
        greet.delay("x" * 600_000)


# ---------------------------------------------------------------------------- what is sent


@pytest.fixture
def greeting(app: JobQ) -> JobFunction[..., str]:
    """`greet` on the server of the tests."""
    made: JobFunction[..., str] = app.job(PLAIN, name="greet", queue="mail")
    return made


def test_a_call_is_in_redis_when_delay_returns(
    greeting: JobFunction[..., str], hand: Hand, server: Server
) -> None:
    handle = greeting.delay("Ada", loud=True)
    assert handle.queue == "mail"
    assert server.cli("SMEMBERS", "jobq:queues") == [b"mail"]
    (taken,) = hand.take("mail")
    assert taken.job_id == handle.id
    call = hand.codec.decode_call(taken.call)
    assert call == ("greet", ["Ada"], {"loud": True}, {})


def test_options_of_a_call_travel_with_it(greeting: JobFunction[..., str], hand: Hand) -> None:
    options = greeting.options(retries=0, timeout="1m", backoff=[1, "2s"], result_ttl=0)
    handle = options.options(queue="bulk").delay("Ada")
    assert handle.queue == "bulk"
    (call,) = hand.calls("bulk")
    definition = ON_TOP.registry.get(fetch.name)
    assert definition is not None
    policy = policy_with(definition.policy, call.headers)
    assert (policy.retries, policy.timeout, policy.result_ttl) == (0, 60.0, 0.0)


def test_enums_dataclasses_and_models_travel_as_plain_data(app: JobQ, hand: Hand) -> None:
    @app.job(name="typed")
    def typed(colour: Colour, point: Point, user: User) -> None: ...

    typed.delay(Colour.RED, Point(1, 2), User(name="Ada"))
    (call,) = hand.calls()
    assert call.args == ["red", {"x": 1, "y": 2}, {"name": "Ada"}]
    definition = app.registry.get("typed")
    assert definition is not None
    assert definition.rebuild is not None
    args, _ = definition.rebuild.apply(call.args, {})
    assert args == [Colour.RED, Point(1, 2), User(name="Ada")]


async def test_adelay_sends_the_same(
    greeting: JobFunction[..., str], app: JobQ, hand: Hand
) -> None:
    async with app:
        handle = await greeting.options(timeout=timedelta(seconds=5)).adelay("Ada", "Bob")
    (taken,) = hand.take("mail")
    assert taken.job_id == handle.id
    assert hand.codec.decode_call(taken.call) == ("greet", ["Ada", "Bob"], {}, {"t": 5.0})


def test_an_id_of_ones_own_is_unique_while_its_job_lives(
    greeting: JobFunction[..., str], hand: Hand
) -> None:
    mine = greeting.options(job_id="order-7")
    assert mine.delay("Ada").id == "order-7"
    with pytest.raises(DuplicateJob, match="order-7") as refused:
        mine.delay("Bob")
    assert refused.value.job_id == "order-7"
    (taken,) = hand.take("mail")
    hand.succeed(taken)
    with pytest.raises(DuplicateJob):  # its result is kept
        mine.delay("Ada")


async def test_adelay_refuses_a_duplicate_too(greeting: JobFunction[..., str], app: JobQ) -> None:
    async with app:
        await greeting.options(job_id="x").adelay("Ada")
        with pytest.raises(DuplicateJob):
            await greeting.options(job_id="x").adelay("Ada")


def test_ids_are_unique_and_in_the_order_of_the_calls(
    greeting: JobFunction[..., str], hand: Hand
) -> None:
    ids = [greeting.delay(str(number)).id for number in range(200)]
    assert len(set(ids)) == 200
    assert [taken.job_id for taken in hand.take("mail", 200)] == ids


def test_a_decorated_wrapper_is_known_by_what_it_wraps(app: JobQ, hand: Hand) -> None:
    def logged(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(*args, **kwargs)

        return wrapper

    wrapped = app.job(logged(PLAIN))
    assert wrapped.name == f"{__name__}.greet"
    with pytest.raises(ArgumentError):
        wrapped.delay()
    wrapped.delay("Ada")
    assert hand.calls()[0].name == wrapped.name
