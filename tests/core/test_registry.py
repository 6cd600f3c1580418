"""The registry: who has which name, and what was meant by another."""

from collections.abc import Callable
from functools import partial
from inspect import signature

import pytest

from jobq.core.options import Policy
from jobq.core.registry import Definition, Registry
from jobq.errors import ConfigError


def send(to: str) -> str:
    return to


def define(name: str, function: Callable[..., object] = send, queue: str = "default") -> Definition:
    return Definition(name, function, queue, Policy(), False, None, signature(function))


def registry(*names: str) -> Registry:
    made = Registry()
    for name in names:
        made.add(define(name, queue=name.split(".", maxsplit=1)[0]))
    return made


def test_functions_are_found_by_name() -> None:
    made = registry("mail.send", "bulk.send", "mail.read")
    found = made.get("mail.send")
    assert found is not None
    assert found.function is send
    assert made.get("x") is None
    assert made.names() == ["bulk.send", "mail.read", "mail.send"]
    assert made.queues() == ["bulk", "mail"]


def test_the_nearest_name() -> None:
    made = registry("app.mail.send", "app.reports.build")
    assert made.nearest("app.mail.sned") == "app.mail.send"
    assert made.nearest("build") == "app.reports.build"
    assert made.nearest("zzz") is None
    assert Registry().nearest("x") is None


def test_a_name_belongs_to_one_function() -> None:
    made = registry("a")
    made.add(define("a"))  # the same again
    with pytest.raises(ConfigError, match=r"two job functions are named 'a'.*send.*print"):
        made.add(define("a", print))
    with pytest.raises(ConfigError, match="two job functions"):
        made.add(define("a", partial(send, "x")))


def test_functions_of_a_factory_are_not_the_same() -> None:
    def factory(number: int) -> Callable[..., object]:
        def inner() -> int:
            return number

        return inner

    made = Registry()
    made.add(define("a", factory(1)))
    with pytest.raises(ConfigError, match="two job functions"):
        made.add(define("a", factory(2)))


def test_a_reloaded_module_replaces_its_functions() -> None:
    text = "def reloaded():\n    return 1\n"
    made = Registry()
    for _ in range(2):
        module: dict[str, Callable[..., object]] = {}
        exec(compile(text, "module.py", "exec"), module)  # noqa: S102  what a reload does
        made.add(define("a", module["reloaded"]))
    found = made.get("a")
    assert found is not None
    assert found.function is module["reloaded"]
