"""Headers of users in what the commands show, whatever a stranger wrote there."""

import json

import pytest

from tests.cli.burying import Undertaker
from tests.cli.conftest import Run


def enqueue(undertaker: Undertaker, headers: object) -> str:
    call = undertaker.codec.encode_call("shop.send", (), {}, {"m": headers})
    return undertaker.enqueue(call=call)


def test_headers_are_shown_and_cleaned(run: Run, undertaker: Undertaker) -> None:
    job_id = enqueue(undertaker, {"tenant": "acme", "odd": "\x1b[31m\n\u202e"})
    shown = run("job", "show", job_id).out
    assert "header    tenant='acme'" in shown
    assert "odd='\\x1b[31m\\n\\u202e'" in shown
    found = json.loads(run("job", "show", job_id, "--json").out)
    assert found["headers"] == {"tenant": "acme", "odd": "\x1b[31m\n\u202e"}


@pytest.mark.parametrize("headers", ["x", [1], {"a": 1}, {"a": "x" * 100_000}])
def test_garbage_shows_none(run: Run, undertaker: Undertaker, headers: object) -> None:
    job_id = enqueue(undertaker, headers)
    assert json.loads(run("job", "show", job_id, "--json").out)["headers"] == {}
    assert "header" not in run("job", "show", job_id).out


def test_a_dead_letter_keeps_them_when_it_is_edited_and_retried(
    run: Run, undertaker: Undertaker
) -> None:
    call = undertaker.codec.encode_call("shop.send", (), {"n": 1}, {"m": {"tenant": "acme"}})
    job_id = undertaker.dead("shop.send", call=call)
    assert "header    tenant='acme'" in run("dlq", "show", job_id).out
    run("dlq", "edit", job_id, "--set", "kwargs.n=2", "--yes")
    run("dlq", "retry", job_id)
    found = json.loads(run("job", "show", job_id, "--json").out)
    assert (found["kwargs"], found["headers"]) == ({"n": 2}, {"tenant": "acme"})
