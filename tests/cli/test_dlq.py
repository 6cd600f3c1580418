"""`jobq dlq`."""

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from redis import Redis

from tests.cli.burying import Undertaker, dead
from tests.cli.conftest import Run

#: What would clear a terminal, ring, reorder or end a line, were it printed as it is.
HOSTILE = "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\ne\r\x08f\u202eg\u2066h\u200bi\x7f"
OBEYED = set("\x1b\x07\x08\r\x7f\x9b\u202e\u2066\u200b")


def test_no_dead_letters(run: Run, redis_url: str) -> None:
    assert run("dlq", "list").out == "No dead letters.\n"
    assert run("dlq", "list", "-q", "mail").out == "No dead letters in queue 'mail'.\n"
    assert run("dlq", "list", "--json").json == []
    assert run("dlq", "export").out == ""


def test_list_shows_the_newest_first_over_all_queues(run: Run, undertaker: Undertaker) -> None:
    ids = []
    for queue in ("mail", "bulk", "mail"):
        ids.append(undertaker.dead(queue=queue))
        undertaker.let_the_clock_tick()
    lines = run("dlq", "list").out.splitlines()
    assert lines[0].split() == ["ID", "JOB", "QUEUE", "ATTEMPTS", "FAILED", "ERROR"]
    assert [line.split()[0] for line in lines[1:]] == ids[::-1]
    assert lines[1].split()[1:4] == ["shop.send", "mail", "4"]
    assert lines[1].endswith("KeyError: 'ada'")


def test_list_of_a_queue_and_a_limit(run: Run, undertaker: Undertaker) -> None:
    mail = [undertaker.dead() for _ in range(3)]
    undertaker.dead(queue="bulk")
    found = run("dlq", "list", "--queue", "mail", "--limit", "2", "--json").json
    assert isinstance(found, list)
    assert [one["id"] for one in found] == [mail[2], mail[1]]
    ran = run("dlq", "list", "--limit", "2")
    assert len(ran.out.splitlines()) == 3
    assert "2 of 4 dead letters. More: --limit 4" in ran.err


def test_json_of_a_list_is_one_array_of_objects(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.dead("shop.send", "ada", kwargs={"subject": "Hi"})
    ran = run("dlq", "list", "--json")
    assert ran.err == ""
    assert ran.out.count("\n") == 1
    [found] = json.loads(ran.out)
    assert list(found) == [
        "id", "job", "args", "kwargs", "problem", "raw", "signed_by", "headers", "queue",
        "attempts", "error", "message", "reason", "failed_at", "enqueued_at", "traceback",
        "history", "readable", "group",
    ]  # fmt: skip
    assert found["id"] == job_id
    assert found["job"] == "shop.send"
    assert found["args"] == ["ada"]
    assert found["kwargs"] == {"subject": "Hi"}
    assert (found["queue"], found["attempts"]) == ("mail", 4)
    assert (found["error"], found["message"]) == ("KeyError", "'ada'")
    assert found["reason"] == "attempts used up"
    assert found["enqueued_at"] == "2023-11-14T22:13:20.000Z"
    assert datetime.fromisoformat(found["failed_at"]).tzinfo is not None
    assert found["traceback"].endswith("KeyError: 'ada'\n")
    assert [one["attempt"] for one in found["history"]] == [1, 2, 3, 4]
    assert found["history"][0]["at"] == "2023-11-14T22:13:21.000Z"
    assert run("dlq", "show", job_id, "--json").json == found


def test_values_that_json_has_not(run: Run, undertaker: Undertaker) -> None:
    values = [
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
        date(2026, 1, 2),
        timedelta(minutes=1.5),
        UUID(int=1),
        Decimal("1.20"),
        Path("a/b"),
        b"\x00ab\xff",
        (1, 2),
        {3},
        frozenset({"x"}),
        float("nan"),
        [float("inf"), -float("inf")],
        2**80,
        {1: "one"},
        "\ud800",
    ]
    undertaker.dead("shop.send", *values)
    ran = run("dlq", "list", "--json")
    assert ran.out.isascii()
    [found] = json.loads(ran.out, parse_constant=pytest.fail)
    assert found["args"] == [
        "2026-01-02T03:04:05+02:00",
        "2026-01-02",
        90.0,
        "00000000-0000-0000-0000-000000000001",
        "1.20",
        "a/b",
        "\\x00ab\\xff",
        [1, 2],
        [3],
        ["x"],
        "NaN",
        ["Infinity", "-Infinity"],
        str(2**80),
        {"1": "one"},
        "\ud800",
    ]
    assert run("dlq", "show", found["id"]).code == 0


def test_a_number_of_very_many_digits(run: Run, undertaker: Undertaker) -> None:
    number = 1 << (8 * 4096 - 8)
    job_id = undertaker.dead("shop.send", number, Decimal("9" * 4000), [number])
    assert run("dlq", "show", job_id).code == 0
    [found] = json.loads(run("dlq", "list", "--json").out)
    assert int(found["args"][0], 16) == number


def test_show_has_the_error_as_headline_and_the_traceback(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.dead("shop.send", "ada", kwargs={"n": 1})
    text = run("dlq", "show", job_id).out
    lines = text.splitlines()
    assert lines[0] == "KeyError: 'ada'"
    assert "job       shop.send('ada', n=1)" in lines
    assert "why       attempts used up" in lines
    assert "2023-11-14 22:13:20 UTC" in text
    assert '  >   File "shop/jobs.py", line 7, in send' in lines
    assert "  2023-11-14 22:13:24 UTC  attempt 4 failed  KeyError: 'ada'" in lines
    assert f"jobq dlq retry {job_id}" in text


@pytest.mark.parametrize("command", [["dlq", "list"], ["dlq", "show", "x1"], ["job", "show", "x1"]])
def test_hostile_text_is_not_obeyed(run: Run, undertaker: Undertaker, command: list[str]) -> None:
    letter = dead(HOSTILE, HOSTILE, reason=HOSTILE, traceback=HOSTILE)
    undertaker.dead(HOSTILE, HOSTILE, job_id="x1", letter=letter, kwargs={HOSTILE: HOSTILE})
    ran = run(*command)
    assert ran.code == 0
    assert not OBEYED & set(ran.out + ran.err)
    assert run(*command, "--json").out.isascii()


def test_a_hostile_id(run: Run, undertaker: Undertaker) -> None:
    undertaker.dead(job_id=HOSTILE)
    ran = run("dlq", "list")
    assert not OBEYED & set(ran.out + ran.err)
    assert len(ran.out.splitlines()) == 2
    asked = run("dlq", "purge", HOSTILE)
    assert asked.code == 2
    assert not OBEYED & set(asked.out + asked.err)
    assert run("dlq", "purge", HOSTILE, "--yes").code == 0
    assert run("dlq", "list").out == "No dead letters.\n"


@pytest.mark.parametrize("garbage", [b"\x00", b"\xff" * 3000, b"\x1b[2J", b"\x92\x01"])
def test_an_unreadable_call_shows_its_first_bytes(
    run: Run, undertaker: Undertaker, garbage: bytes
) -> None:
    letter = dead("jobq.errors.CallUnreadable", "not msgpack", readable=False, traceback="")
    undertaker.dead(job_id="g1", call=garbage, letter=letter)
    [found] = json.loads(run("dlq", "list", "--json").out)
    assert found["args"] is None
    assert found["job"] is None
    assert found["raw"] == repr(garbage[:2048])[2:-1]
    assert found["problem"]
    assert found["readable"] is False
    text = run("dlq", "show", "g1").out
    assert not OBEYED & set(text)
    assert repr(garbage[:4])[2:-1] in text
    assert "dlq retry" not in text
    ran = run("dlq", "retry", "g1", "--yes")
    assert ran.code == 1
    assert "g1 cannot be retried: not msgpack" in ran.err
    assert run("dlq", "purge", "g1", "--yes").code == 0


def test_a_letter_of_garbage(run: Run, undertaker: Undertaker) -> None:
    undertaker.dead(job_id="good-call", letter=b"\xc1")
    undertaker.dead(job_id="no-call", call=b"\xc1", letter=b"")
    assert "the dead letter cannot be read" in run("dlq", "list").out
    assert run("dlq", "show", "no-call").code == 0
    ran = run("dlq", "retry", "--all", "--yes")
    assert (ran.code, ran.out) == (1, "1 dead letter retried.\n")
    assert "no-call cannot be retried" in ran.err


def test_a_foreign_entry_in_the_stream(run: Run, undertaker: Undertaker, redis: Redis) -> None:
    undertaker.dead()
    redis.xadd("jobq:{mail}:dead", {b"\xff\xfe": b"\x00"})
    redis.xadd("jobq:{mail}:dead", {b"a": b"b"}, id="18446744073709551615-1")
    ran = run("dlq", "list")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 4
    assert run("dlq", "export").out.isascii()


def test_a_type_that_is_not_registered_here_can_be_retried(
    run: Run, undertaker: Undertaker
) -> None:
    class Money:
        pass

    undertaker.codec.register_type(
        Money, name="shop.Money", encode=lambda _: 3, decode=lambda _: Money()
    )
    job_id = undertaker.dead("shop.pay", Money())
    [found] = json.loads(run("dlq", "list", "--json").out)
    assert found["job"] == "shop.pay"
    assert "shop.Money" in found["problem"]
    assert run("dlq", "retry", job_id, "--yes").code == 0


def test_retry_starts_afresh_with_the_history_kept(run: Run, undertaker: Undertaker) -> None:
    job_id = undertaker.dead("shop.send", "ada")
    ran = run("dlq", "retry", job_id, "--yes")
    assert (ran.code, ran.out, ran.err) == (0, "1 dead letter retried.\n", "")
    found = run("job", "show", job_id, "--json").json
    assert isinstance(found, dict)
    assert (found["state"], found["attempt"]) == ("ready", 0)
    assert [one["attempt"] for one in found["history"]] == [1, 2, 3, 4]
    assert run("dlq", "list").out == "No dead letters.\n"


def test_retry_of_all_of_a_queue(run: Run, undertaker: Undertaker) -> None:
    for _ in range(3):
        undertaker.dead()
    other = undertaker.dead(queue="bulk")
    assert run("dlq", "retry", "--all", "-q", "mail", "--yes").out == "3 dead letters retried.\n"
    [left] = json.loads(run("dlq", "list", "--json").out)
    assert left["id"] == other


def test_purge(run: Run, undertaker: Undertaker) -> None:
    ids = [undertaker.dead() for _ in range(3)]
    ran = run("dlq", "purge", ids[0], ids[0], ids[1], "--yes")
    assert (ran.code, ran.out) == (0, "2 dead letters purged.\n")
    assert run("dlq", "purge", "--all", "--yes").out == "1 dead letter purged.\n"
    assert run("job", "show", ids[0]).code == 3


@pytest.mark.parametrize("verb", ["retry", "purge"])
def test_what_is_not_there(run: Run, undertaker: Undertaker, verb: str) -> None:
    ran = run("dlq", verb, "--all", "--yes")
    assert (ran.code, ran.err) == (3, "jobq: no dead letters\n")
    ran = run("dlq", verb, "nope", "--yes")
    assert ran.code == 3
    assert "no dead letter nope\nfix: jobq dlq list shows" in ran.err
    waiting = undertaker.enqueue()
    assert run("dlq", verb, waiting, "--yes").code == 3
    undertaker.bury()
    ran = run("dlq", verb, waiting, "nope", "--yes")
    assert ran.code == 3
    assert ran.out.startswith("1 dead letter ")
    assert "no dead letter nope" in ran.err


@pytest.mark.parametrize("verb", ["retry", "purge"])
def test_nothing_is_changed_where_nobody_can_be_asked(
    run: Run, undertaker: Undertaker, verb: str
) -> None:
    ids = [undertaker.dead("shop.send", "ada") for _ in range(12)]
    ran = run("dlq", verb, "--all")
    assert ran.code == 2
    assert "12 dead letters" in ran.err
    assert "add --yes" in ran.err
    assert f"{ids[-1]}  shop.send('ada')  KeyError: 'ada'" in ran.err
    assert "… and 2 more" in ran.err
    assert ran.out == ""
    assert run("dlq", verb, ids[0]).code == 2
    found = run("dlq", "list", "--json").json
    assert isinstance(found, list)
    assert len(found) == 12


@pytest.mark.parametrize(
    "words",
    [
        ["retry"],
        ["purge"],
        ["retry", "--all", "x"],
        ["purge", "--all", "x"],
        ["retry", ""],
        ["retry", "\udcff"],
        ["show"],
        ["show", "a", "b"],
        ["list", "--limit", "0"],
        ["list", "--limit", "x"],
        ["list", "--queue", "a b"],
        ["list", "--queue", "{a}"],
        ["list", "--queue", ""],
        ["list", "--queue", "x" * 101],
        ["list", "--nope"],
        ["list", "--app", "a", "--url", "redis://b"],
        ["nope"],
    ],
)
def test_usage_errors(run: Run, redis_url: str, words: list[str]) -> None:
    ran = run("dlq", *words)
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("Usage: jobq dlq")


def test_export_is_lines_of_json(run: Run, undertaker: Undertaker) -> None:
    ids = [undertaker.dead("shop.send", "a\nb", n) for n in range(250)]
    lines = run("dlq", "export").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[::-1]
    assert len(run("dlq", "export", "--limit", "7").out.splitlines()) == 7
    assert json.loads(lines[0])["args"] == ["a\nb", 249]
