"""Options: checked where they are given, layered, and sent along with a call."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobq.core.backoff import Custom, Exponential, Fixed
from jobq.core.checks import check_queue
from jobq.core.options import (
    APP_OPTIONS,
    CALL_OPTIONS,
    DECLARATION_OPTIONS,
    UNSET,
    Options,
    Policy,
    parse_options,
    policy_with,
    resolve,
    to_headers,
)
from jobq.core.placing import CHECKS
from jobq.errors import CallUnreadable, OptionError


def rule(_attempt: int, _error: BaseException) -> float:
    return 1.0


def parse(**given: object) -> Options:
    return parse_options(given, where="@job")


def test_good_options_are_normalised() -> None:
    options = parse(
        name="mail.send",
        queue="mail",
        retries=5,
        backoff=["1s", 10],
        retry_on=OSError,
        no_retry_on=[KeyError, ValueError],
        timeout="5m",
        result_ttl=timedelta(hours=1),
        job_id="order-1",
    )
    assert options == Options(
        name="mail.send",
        queue="mail",
        retries=5,
        backoff=Fixed((1.0, 10.0)),
        retry_on=(OSError,),
        no_retry_on=(KeyError, ValueError),
        timeout=300.0,
        result_ttl=3600.0,
        placing={"job_id": "order-1"},
    )
    assert parse() == Options()
    assert parse(timeout=None).timeout is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("name", value) for value in ("", "  ", "a\nb", "a\x1b[0m", None, 5, "\ud800")],
        ("name", "x" * 201),
        *[("queue", value) for value in ("", "a b", "{a}", "é", "a\n", "x" * 101, None, 5)],
        *[("retries", value) for value in (-1, 1001, True, 1.5, "3", None, 10**400)],
        *[("backoff", value) for value in (None, -1, (), "x")],
        *[("retry_on", value) for value in (None, "ValueError", int, [int], ValueError("x"))],
        *[("no_retry_on", value) for value in (None, object(), (ValueError, 5))],
        *[("timeout", value) for value in (0, -1, "x", True, float("nan"))],
        *[("result_ttl", value) for value in (None, -1, "x", True)],
        *[("job_id", value) for value in ("", "a b", None, 5)],
        *[
            (option, value)
            for option in ("expires", "retry_for")
            for value in (0, -1, "x", True, float("nan"), float("inf"), 4e9, "101y", 10**400)
        ],
        *[("on_expire", value) for value in ("", "bury", None, True, 1)],
    ],
)
def test_bad_values_name_the_option(option: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"^@job: {option}"):
        parse(**{option: value})


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"unknown option 'retires'; did you mean 'retries'"):
        parse(retires=3)
    with pytest.raises(OptionError, match=r"unknown option 'zzz'. Options: .*backoff, .*expires, "):
        parse(zzz=3)


def test_options_out_of_place_say_where_they_belong() -> None:
    with pytest.raises(OptionError, match="'job_id' belongs to a single call"):
        parse_options({"job_id": "x"}, where="@job", accepts=DECLARATION_OPTIONS)
    with pytest.raises(OptionError, match="'retry_on' cannot be set here; give it to @job"):
        parse_options({"retry_on": OSError}, where="f.options()", accepts=CALL_OPTIONS)
    with pytest.raises(OptionError, match="'name' cannot be set here"):
        parse_options({"name": "x"}, where="JobQ()", accepts=APP_OPTIONS)


def test_every_option_has_a_place() -> None:
    names = {field.name for field in fields(Options)} - {"placing", "drop_expired"}
    placed = {"on_expire", *CHECKS}
    assert names | placed == DECLARATION_OPTIONS | CALL_OPTIONS
    assert not names & placed


def test_the_queue_may_have_any_printable_character_but_braces() -> None:
    assert check_queue("a-b_c.d/e:f!") == "a-b_c.d/e:f!"
    assert check_queue("x" * 100) == "x" * 100


def test_defaults_come_last() -> None:
    policy = resolve(Options())
    assert policy == Policy()
    assert (policy.retries, policy.timeout, policy.result_ttl) == (3, None, 300.0)
    assert (policy.retry_on, policy.no_retry_on) == ((Exception,), ())
    assert policy.backoff == Exponential(1.0, 600.0, 2.0, jitter=True)
    assert resolve(parse(retries=0, timeout=5)) == Policy(retries=0, timeout=5.0)


def test_options_lie_over_options() -> None:
    app = parse(retries=1, timeout=10, queue="a")
    function = parse(retries=2, timeout=None)
    assert function.over(app) == parse(retries=2, timeout=None, queue="a")
    assert Options().over(app) == app


def test_headers_hold_what_was_given() -> None:
    assert to_headers(Options(queue="a", placing={"job_id": "b"}, name="c")) == {}
    assert to_headers(parse(retries=0, timeout=None, result_ttl=0, backoff=5)) == {
        "r": 0,
        "t": None,
        "k": 0.0,
        "b": ["f", 5.0],
    }


@pytest.mark.parametrize(
    "options",
    [Options(retry_on=(OSError,)), Options(no_retry_on=()), Options(backoff=Custom(rule))],
)
def test_what_cannot_travel_is_refused(options: Options) -> None:
    with pytest.raises(OptionError, match="cannot travel"):
        to_headers(options)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "retries": st.integers(0, 1000),
            "timeout": st.none() | st.floats(0.001, 1e6),
            "result_ttl": st.floats(0, 1e6),
            "expires": st.none() | st.floats(0.001, 1e6),
            "on_expire": st.sampled_from(["dead", "drop"]),
            "retry_for": st.none() | st.floats(0.001, 1e6),
            "backoff": st.lists(st.floats(0, 1e6), min_size=1, max_size=5),
        },
    )
)
def test_options_of_a_call_change_the_policy_over_there(given_options: dict[str, Any]) -> None:
    options = parse(**given_options)
    headers = msgpack.unpackb(msgpack.packb(to_headers(options)))
    declared = Options(retries=7, timeout=7.0, retry_on=(OSError,))
    assert policy_with(resolve(declared), headers) == resolve(options.over(declared))


def test_no_headers_cost_nothing_and_strange_ones_are_left_alone() -> None:
    policy = Policy()
    assert policy_with(policy, {}) is policy
    assert policy_with(policy, {"zz": 1}) is policy


@pytest.mark.parametrize(
    ("key", "value"),
    [("r", -1), ("r", "3"), ("b", []), ("b", ["e", 1]), ("t", 0), ("t", "x"), ("k", None)],
)
def test_garbage_in_headers_is_unreadable(key: str, value: object) -> None:
    with pytest.raises(CallUnreadable, match=f"header '{key}'"):
        policy_with(Policy(), {key: value})


def test_unset_says_so() -> None:
    assert repr(UNSET) == "UNSET"


def test_retry_for_stands_for_the_count_where_none_is_given_with_it() -> None:
    assert resolve(parse(retry_for="6h")) == Policy(retries=1000, retry_for=21600.0)
    assert resolve(parse(retry_for="6h", retries=2)) == Policy(retries=2, retry_for=21600.0)
    assert resolve(parse(retry_for=None)) == Policy()
    over = parse(retry_for=60).over(parse(retries=5))
    assert resolve(over).retries == 1000
    assert resolve(parse(retries=5).over(parse(retry_for=60))) == Policy(retries=5, retry_for=60.0)


@pytest.mark.parametrize(
    ("key", "value"), [("e", 0), ("e", "x"), ("o", 2), ("o", True), ("f", -1), ("f", b"")]
)
def test_a_limit_that_nobody_sends_is_unreadable(key: str, value: object) -> None:
    with pytest.raises(CallUnreadable, match=f"header '{key}'"):
        policy_with(Policy(), {key: value})
