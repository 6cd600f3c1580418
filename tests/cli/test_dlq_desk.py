"""`jobq dlq` beyond a list: filters, groups, edit, export and import."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from redis import Redis

from jobq.core.fingerprint import group_of
from jobq.core.outcome import Failure
from jobq.core.signing import make_signer
from jobq.store import keys
from jobq.store.ops import inspect
from tests.cli.burying import TRACEBACK, Undertaker, dead
from tests.cli.conftest import Ran, Run

#: Text that a terminal would obey, or that would end a line.
HOSTILE = "a\x1b[2Jb\x07\n\u202ec"

APP = """\
from dataclasses import dataclass

from jobq import JobQ

app = JobQ({url!r}{keys})


@dataclass
class Order:
    number: int


@app.job(name="shop.ship")
def ship(to: str, order: Order, *, fast: bool = False) -> None: ...


@app.job(name="shop.login", sensitive=["password"])
def login(user: str, password: str) -> None: ...
"""


def rows(ran: Ran) -> list[dict[str, object]]:
    found = ran.json
    assert isinstance(found, list)
    return found


def ids(ran: Ran) -> list[object]:
    return [one["id"] for one in rows(ran)]


@pytest.fixture
def shop(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An app in the current directory; its name for ``--app``."""
    return app(tmp_path, monkeypatch, redis_url, "shopapp")


def app(
    where: Path, monkeypatch: pytest.MonkeyPatch, url: str, name: str, keys_text: str = ""
) -> str:
    (where / f"{name}.py").write_text(APP.format(url=url, keys=keys_text), encoding="utf-8")
    monkeypatch.chdir(where)
    monkeypatch.syspath_prepend(str(where))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return f"{name}:app"


# ---------------------------------------------------------------------------- filters, groups


def test_filters_say_which(run: Run, undertaker: Undertaker) -> None:
    keyed = undertaker.dead("shop.send")
    other = undertaker.dead("shop.ship", letter=dead("shop.errors.Declined", "no Card 7"))
    for words, expected in (
        (("--job", "shop.send"), [keyed]),
        (("--job", "shop.*"), [other, keyed]),
        (("--error", "Declined"), [other]),
        (("--message", "card 7"), [other]),
        (("--attempts", ">3"), [other, keyed]),
        (("--attempts", "<4"), []),
        (("--since", "1h", "--error", "KeyError"), [keyed]),
        (("--until", "2030-01-01T00:00Z"), [other, keyed]),
        (("--until", "1h"), []),
        (("-q", "bulk", "--job", "shop.send"), []),
    ):
        assert ids(run("dlq", "list", *words, "--json")) == expected, words
    ran = run("dlq", "list", "--job", "nope")
    assert (ran.code, ran.out) == (0, "No dead letters fit.\n")
    assert run("dlq", "purge", "--job", "nope", "--yes").code == 3
    ran = run("dlq", "purge", "--error", "Declined")
    assert (ran.code, ran.out) == (2, "")
    assert "1 dead letter" in ran.err
    assert run("dlq", "purge", "--error", "Declined", "--yes", "--json").json == {
        "purged": 1, "missing": [],
    }  # fmt: skip
    assert ids(run("dlq", "list", "--json")) == [keyed]


def test_a_bounded_scan_is_told(run: Run, undertaker: Undertaker) -> None:
    for _ in range(5):
        undertaker.dead()
    ran = run("dlq", "list", "--message", "nope", "--scan", "3")
    assert (
        ran.out
        == "No dead letters fit among the newest 3\nfix: --scan 30 reads more, --scan 0 all\n"
    )
    ran = run("dlq", "list", "--message", "ada", "--scan", "3")
    assert "Only the newest 3 dead letters were read to find them." in ran.err
    assert (
        run("dlq", "purge", "--message", "ada", "--scan", "0", "-y").out
        == "5 dead letters purged.\n"
    )


def test_groups_are_counted_the_most_first(run: Run, undertaker: Undertaker) -> None:
    for number in range(3):
        undertaker.dead("shop.send", letter=dead("Declined", f"no card {number}"))
    last = undertaker.dead("shop.send", letter=dead("Declined", f"no card {HOSTILE}"))
    undertaker.dead("shop.ship")
    old = undertaker.dead("shop.old", letter=dead().encode())
    many, *_ = found = rows(run("dlq", "list", "--group", "--json"))
    failure = Failure("Declined", "", TRACEBACK)
    assert many["group"] == group_of("shop.send", failure).fingerprint
    assert (many["count"], many["job"], many["error"]) == (4, "shop.send", "Declined")
    assert (many["message"], many["sample"]) == (f"no card {HOSTILE}", last)
    assert [one["count"] for one in found] == [4, 1, 1]
    lines = run("dlq", "list", "--group").out.splitlines()
    assert lines[0].split() == ["COUNT", "GROUP", "JOB", "QUEUE", "FIRST", "LAST", "ERROR"]
    assert lines[1].split()[:4] == ["4", many["group"], "shop.send", "mail"]
    assert lines[1].endswith("Declined: no card ab c")
    assert ids(run("dlq", "list", "--group-id", "-", "--json")) == [old]
    assert run("dlq", "list", "--group", "--attempts", "3").code == 2
    purged = run("dlq", "purge", "--group-id", str(many["group"]), "--yes")
    assert purged.out == "4 dead letters purged.\n"
    assert len(rows(run("dlq", "list", "--group", "--json"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["list", "--attempts", ">x"],
        ["list", "--attempts", "=" * 99],
        ["list", "--since", "yesterday"],
        ["list", "--since", "2026-01-01"],
        ["list", "--scan", "-1"],
        ["purge", "--all", "--job", "x"],
        ["purge", "x", "--job", "x"],
        ["edit", "x"],
        ["edit", "x", "--set", "a=1", "--editor"],
        ["edit", "x", "--set", "kwargs.a"],
        ["edit", "x", "--set", "nope.a=1"],
        ["import"],
        ["import", "/nowhere/at/all"],
    ],
)
def test_usage_errors(run: Run, redis_url: str, words: list[str]) -> None:
    ran = run("dlq", *words)
    assert ran.code == 2, ran
    assert ran.err.startswith("Usage: jobq dlq")


def test_the_users_frames_stand_apart(run: Run, undertaker: Undertaker) -> None:
    text = TRACEBACK.replace(
        "KeyError: 'ada'\n",
        '  File "/usr/lib/python3.13/json/decoder.py", line 1, in decode\n    end()\n'
        "  File \"/venv/lib/python3.13/site-packages/x/y.py\", line 1, in y\nKeyError: 'ada'\n",
    )
    job_id = undertaker.dead(letter=dead(traceback=text))
    shown = run("dlq", "show", job_id).out
    assert '  >   File "shop/jobs.py", line 7, in send\n  >     raise KeyError(to)\n' in shown
    assert '\n      File "/usr/lib/python3.13/json/decoder.py", line 1, in decode\n' in shown
    assert '\n      File "/venv/lib/python3.13/site-packages/x/y.py", line 1, in y\n' in shown
    assert "traceback of attempts 1, 2, 3, 4" in shown, "the last one has another"


# ---------------------------------------------------------------------------- edit


def test_edit_sets_arguments_and_keeps_the_rest(
    run: Run, undertaker: Undertaker, redis: Redis
) -> None:
    job_id = undertaker.dead("shop.send", "ada", date(2026, 1, 2), kwargs={"user_id": 1, "x": {}})
    before = run("dlq", "show", job_id, "--json").json
    assert isinstance(before, dict)
    words = ("--set", "kwargs.user_id=7", "--set", "args.0=bob smith", "--set", "kwargs.x.y=[1]")
    ran = run("dlq", "edit", job_id, *words, "--yes")
    assert ran.code == 0, ran
    call = "shop.send('bob smith', datetime.date(2026, 1, 2), user_id=7, x={'y': [1]})"
    assert ran.out == f"{job_id} is now  {call}\n"
    assert "Not checked against the job function" in ran.err
    after = run("dlq", "show", job_id, "--json").json
    assert after == {
        **before, "args": ["bob smith", "2026-01-02"], "kwargs": {"user_id": 7, "x": {"y": [1]}},
    }  # fmt: skip
    assert redis.xlen(keys.dead("mail")) == 1
    assert run("dlq", "retry", job_id, "--yes").code == 0
    job = run("job", "show", job_id, "--json").json
    assert isinstance(job, dict)
    assert job["kwargs"] == {"user_id": 7, "x": {"y": [1]}}
    ran = run("dlq", "edit", job_id, "--set", "args.0=1", "--yes")
    assert ran.code == 3, "it is no dead letter any more"


def test_edit_in_an_editor(
    run: Run, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = undertaker.dead("shop.send", "ada", date(2026, 1, 2))
    script = tmp_path / "editor.py"
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")

    def edit(code: str) -> Ran:
        head = "import pathlib, sys, time, os\np = pathlib.Path(sys.argv[1])\nt = p.read_text()\n"
        tail = "\nos.utime(p, (time.time() + 9,) * 2)\n"
        script.write_text(head + code + tail, encoding="utf-8")
        return run("dlq", "edit", job_id, "--editor", "--yes", "--json")

    ran = edit("p.write_text(t.replace('ada', 'bob'))")
    assert ran.code == 0, ran
    found = ran.json
    assert isinstance(found, dict)
    assert found["args"] == ["bob", "2026-01-02"]
    shown = run("dlq", "show", job_id).out
    assert "shop.send('bob', datetime.date(2026, 1, 2))" in shown, "a date is still one"
    assert edit("pass").code == 1, "nothing was changed"
    ran = edit("p.write_text('{')")
    assert (ran.code, "nothing was changed: what was saved is no JSON" in ran.err) == (1, True)
    assert edit("p.write_text('[1]')").code == 1


def test_edit_checks_against_the_job_function(run: Run, undertaker: Undertaker, shop: str) -> None:
    job_id = undertaker.dead("shop.ship", "ada", {"number": 1})
    for wrong in ("kwargs.slow=true", "args.1=7", "args.2=5"):
        ran = run("dlq", "edit", job_id, "--app", shop, "--set", wrong, "--yes")
        assert (ran.code, "nothing was changed" in ran.err) == (1, True), ran
    ran = run("dlq", "edit", job_id, "--app", shop, "--set", "args.1.number=2", "--yes")
    assert ran.code == 0, ran
    assert "Not checked" not in ran.err


def test_what_is_signed_is_signed_again(
    run: Run,
    undertaker: Undertaker,
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "a secret of sixteen bytes"
    signer = make_signer({"k": secret}, accept_unsigned=False, what="a test")
    assert signer is not None
    blob = undertaker.codec.encode_call("shop.ship", ("ada", {"number": 1}), {})
    undertaker.dead(job_id="mine", call=signer.sign("mail", "mine", blob))
    ran = run("dlq", "edit", "mine", "--set", "args.0=bob", "--yes")
    assert (ran.code, "there is no key to sign it with again" in ran.err) == (1, True)
    name = app(tmp_path, monkeypatch, redis_url, "signedapp", f", signing_keys={{'k': {secret!r}}}")
    assert run("dlq", "edit", "mine", "--app", name, "--set", "args.0=bob", "--yes").code == 0
    ((one),) = undertaker.store.run(inspect.letters("mail"))
    assert b"bob" in signer.open("mail", b"mine", one.call)


def test_sensitive_arguments_are_edited_unseen(run: Run, undertaker: Undertaker, shop: str) -> None:
    call = undertaker.codec.encode_call("shop.login", ("ada", "s3cret"), {}, {"s": [1, "password"]})
    job_id = undertaker.dead(call=call)
    ran = run("dlq", "edit", job_id, "--app", shop, "--set", "args.0=eve", "--yes")
    assert ran.out == f"{job_id} is now  shop.login('eve', [redacted])\n"
    (one,) = undertaker.store.run(inspect.letters("mail"))
    assert b"s3cret" in one.call


# ---------------------------------------------------------------------------- export, import


def test_what_was_exported_comes_back_as_it_was(
    run: Run, undertaker: Undertaker, redis: Redis, tmp_path: Path
) -> None:
    undertaker.dead("shop.send", "a\nb", datetime(2026, 1, 1, tzinfo=UTC), kwargs={"n": 2**70})
    undertaker.dead(call=b"\xc1", letter=dead("CallUnreadable", HOSTILE, readable=False))
    undertaker.dead(queue="bulk", job_id="mine")
    text = run("dlq", "export").out
    groups = run("dlq", "list", "--group", "--json").json
    file = tmp_path / "dead.jsonl"
    file.write_text(text, encoding="utf-8")
    again = run("dlq", "import", str(file))
    assert (again.code, again.out) == (0, "0 dead letters imported. 3 were there already.\n")
    redis.flushall()
    ran = run("dlq", "import", str(file), "--json")
    assert ran.json == {"imported": 3, "known": 0, "refused": []}
    assert sorted(run("dlq", "export").out.splitlines()) == sorted(text.splitlines())
    assert run("dlq", "list", "--group", "--json").json == groups
    assert run("dlq", "retry", "--all", "--yes").out.startswith("2 dead letters retried")
    assert run("dlq", "import", str(file)).out.endswith("3 were there already.\n"), "as jobs now"


def test_sensitive_arguments_are_exported_only_if_asked(
    run: Run, undertaker: Undertaker, tmp_path: Path
) -> None:
    call = undertaker.codec.encode_call("shop.login", ("ada", "s3cret"), {}, {"s": [1]})
    undertaker.dead(call=call)
    ran = run("dlq", "export")
    assert json.loads(ran.out)["exact"] is None
    assert "1 dead letter with sensitive arguments cannot be imported from this" in ran.err
    file = tmp_path / "dead.jsonl"
    file.write_text(ran.out, encoding="utf-8")
    refused = run("dlq", "import", str(file))
    assert (refused.code, "jobq dlq export --sensitive" in refused.err) == (1, True)
    whole = run("dlq", "export", "--sensitive")
    assert json.loads(whole.out)["args"] == ["ada", "[redacted]"]
    file.write_text(whole.out, encoding="utf-8")
    assert run("dlq", "purge", "--all", "--yes").code == 0
    assert run("dlq", "import", str(file)).out == "1 dead letter imported.\n"


def test_garbage_is_refused_line_by_line(
    run: Run, undertaker: Undertaker, redis: Redis, tmp_path: Path
) -> None:
    undertaker.dead()
    good = json.loads(run("dlq", "export").out)
    redis.flushall()

    def but(**other: object) -> str:
        exact = {**good["exact"], **other}
        return json.dumps({**good, "exact": exact})

    lines = [
        "{",
        "[" * 100_000,
        "[]",
        json.dumps({**good, "id": "a{b"}),
        json.dumps({**good, "id": 5}),
        json.dumps({**good, "queue": "a b"}),
        json.dumps({**good, "exact": {}}),
        but(call="!"),
        but(call=""),
        but(letter="AAAA"),
        but(line="x"),
        but(failed_ms=-1),
        but(failed_ms=True),
        but(failed_ms=10**40),
        "",
        "\x00\ufffd",
        json.dumps(good),
        json.dumps(good),
    ]
    file = tmp_path / "dead.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    ran = run("dlq", "import", str(file), "--json")
    assert ran.code == 1
    found = ran.json
    assert isinstance(found, dict)
    assert (found["imported"], found["known"]) == (1, 1)
    assert [one["line"] for one in found["refused"]] == [*range(1, 15), 16]
    assert "jobq: line 1: it is not JSON" in ran.err
    file.write_text("", encoding="utf-8")
    assert run("dlq", "import", str(file)).code == 3
