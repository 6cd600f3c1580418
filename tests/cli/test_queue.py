"""`jobq queue`."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobq import JobQ
from jobq.errors import JobCancelled
from jobq.store.ops import fetch, upkeep
from tests.cli.conftest import Run
from tests.support.server import Server


@pytest.fixture
def app(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobQ]:
    """An app on `server`, where commands look too."""
    monkeypatch.setenv("JOBQ_REDIS_URL", server.url)
    monkeypatch.setenv("LOGNAME", "ada")
    with JobQ(server.url) as app:
        yield app


def fill(app: JobQ, many: int = 2) -> list[str]:
    return [app.options(queue="mail").send("mail.send", n).id for n in range(many)]


def test_pause_and_resume(run: Run, app: JobQ) -> None:
    (job_id,) = fill(app, 1)
    ran = run("queue", "pause", "mail", "--for", "10m", "--reason", "provider down")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "Paused queue 'mail' for 10 m: 1 job waits, 0 run.\n"
    shown = run("queues").out
    assert "mail: PAUSED now by ada@" in shown
    assert ": provider down" in shown
    assert "paused" in run("job", "show", job_id).out
    listed: Any = run("queues", "--json").json
    (pause,) = listed[0]["paused"]
    assert (pause["job"], pause["reason"], pause["until"][-1]) == (None, "provider down", "Z")
    assert run("job", "show", job_id, "--json").json["paused"] == pause  # type: ignore[index]
    assert run("queue", "pause", "mail", "--job", "mail.send", "--by", "bob").code == 0
    ran = run("queue", "resume", "mail")
    assert ran.out == "Resumed queue 'mail': 1 job waits.\n"
    assert "Still paused: mail.send, since" in ran.err
    ran = run("queue", "resume", "mail")
    assert ran.code == 3
    assert "queue 'mail' is not paused" in ran.err
    assert "mail.send, since" in ran.err
    said = run("queue", "resume", "mail", "--job", "mail.send", "--json").json
    assert said == {"queue": "mail", "paused": [], "waiting": 1, "running": 0}
    assert "PAUSED" not in run("queues").out


def test_an_unknown_queue_is_an_error_that_helps(run: Run, app: JobQ) -> None:
    fill(app)
    for words in (
        ("pause", "mial"),
        ("resume", "mial"),
        ("purge", "mial", "--yes"),
        ("move", "mial", "mail", "--yes"),
        ("move", "mail", "mial", "--yes"),
        ("drain", "mial"),
    ):
        ran = run("queue", *words)
        assert ran.code == 3, words
        assert "no queue 'mial'; did you mean 'mail'?" in ran.err
    assert run("queue", "move", "mail", "mail").code == 2
    assert run("queue", "purge", "mail", "--state", "dead").code == 2
    for span in ("soon", "0"):
        assert run("queue", "pause", "mail", "--for", span).code == 2


def test_purge_says_the_count_and_asks(run: Run, app: JobQ) -> None:
    ids = fill(app, 1200)
    app.options(queue="mail", delay="1h").send("mail.later")
    ran = run("queue", "purge", "mail")
    assert ran.code == 2
    assert "Cancel 1,201 jobs in queue 'mail'?" in ran.err
    assert "--yes" in ran.err
    assert app.queue("mail").size() == 1201
    ran = run("queue", "purge", "mail", "--job", "mail.send", "--state", "delayed", "--yes")
    assert ran.code == 3
    assert "no jobs wait in queue 'mail' (of 'mail.send', delayed)" in ran.err
    assert run("queue", "purge", "mail", "--older", "1h", "--yes").code == 3
    assert run("queue", "purge", "mail", "--job", "mail.send", "--yes").out == (
        "1,200 jobs cancelled.\n"
    )
    with pytest.raises(JobCancelled):
        app.handle(ids[7], "mail").result(0)
    said = run("queue", "purge", "mail", "--yes", "--json").json
    assert said == {"queue": "mail", "cancelled": 1}


def test_move(run: Run, app: JobQ) -> None:
    fill(app, 3)
    app.options(queue="bulk").send("mail.send", 9)
    ran = run("queue", "move", "mail", "bulk")
    assert ran.code == 2
    assert "Move 3 jobs from queue 'mail' to 'bulk'?" in ran.err
    assert run("queue", "move", "mail", "bulk", "--yes").out == "3 jobs moved.\n"
    assert (app.queue("mail").size(), app.queue("bulk").size()) == (0, 4)
    assert run("queue", "move", "bulk", "new", "--create", "--yes").out == "4 jobs moved.\n"
    assert run("queue", "move", "new", "bulk", "--yes").out == "4 jobs moved.\n"
    said = run("queue", "move", "bulk", "mail", "--job", "mail.send", "-y", "--json").json
    assert said == {"from": "bulk", "to": "mail", "moved": 4, "refusals": 0, "refused": []}


def test_a_move_that_cannot_be_signed_says_the_fix(run: Run, app: JobQ, server: Server) -> None:
    app.options(queue="bulk").send("mail.send")
    with JobQ(server.url, signing_keys={"k": "a secret of sixteen bytes"}) as signed:
        signed.options(queue="mail").send("mail.send")
    ran = run("queue", "move", "mail", "bulk", "--yes")
    assert ran.code == 1
    assert "set JOBQ_SIGNING_KEYS" in ran.err
    assert app.queue("mail").size() == 1


def test_drain(run: Run, app: JobQ) -> None:
    fill(app)
    ran = run("queue", "drain", "mail")
    assert ran.code == 0
    assert "Drained queue 'mail'. It stays paused: jobq queue resume mail" in ran.out
    (pause,) = app.queue("mail").pauses()
    assert pause.reason == "drain"
    assert run("queue", "drain", "mail", "--json").json == {
        "queue": "mail",
        "drained": True,
        "running": 0,
    }


def test_a_drain_whose_time_is_over_says_what_still_runs(run: Run, app: JobQ) -> None:
    fill(app)
    app.store.run(upkeep.regroup("mail"))
    assert len(app.store.run(fetch.read("mail", "a worker by hand", 1, 0))) == 1
    ran = run("queue", "drain", "mail", "--timeout", "0s")
    assert ran.code == 1
    assert "1 job of queue 'mail' still run" in ran.err
