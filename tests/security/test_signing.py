"""With signing keys, workers run nothing that a stranger wrote; without, they leave it alone."""

from collections.abc import Callable
from typing import Any

import pytest

from jobq import JobHandle, JobQ
from jobq.core.codec import Codec
from jobq.core.signing import Signer, inner, make_signer, signed_by
from jobq.errors import ConfigError, JobFailed
from jobq.store import keys
from jobq.store.ops.enqueue import enqueue, register_queue
from jobq.store.ops.inspect import count
from tests.scenario.ground import PATIENCE, Ground
from tests.support.server import Server
from tests.support.wait import wait_until

NEW = "2026-11:a secret of sixteen bytes and more"
OLD = "2026-05:the one before with as many bytes"
APP = """
@app.job(retries=2, backoff=0.01)
def flaky(n):
    if current_job().attempt < 3:
        raise ValueError("not yet")
    trace("ran", n)
    return n

@app.job(retries=0)
def add(a, b):
    trace("ran", a)
    return a + b
"""


def signer(text: str) -> Signer:
    made = make_signer(
        dict([text.split(":", 1)]), accept_unsigned=False, what="signing_keys"
    )  # as an app makes it
    assert made is not None
    return made


def client(server: Server, *said: str) -> JobQ:
    return JobQ(server.url, signing_keys=dict(one.split(":", 1) for one in said))


def stored(ground: Ground) -> list[tuple[bytes, bytes]]:
    rows = ground.server.cli("XRANGE", keys.jobs("default"), "-", "+")
    return [(fields[0], fields[1]) for _, fields in rows]


def letters(ground: Ground) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in ground.dead()}


def test_everything_goes_on_with_signed_calls(ground: Ground) -> None:
    ground.write(APP)
    ground.env["JOBQ_SIGNING_KEYS"] = f"{NEW},{OLD}"
    with client(ground.server, OLD) as app:
        named = app.send("jobs.flaky", 1)
        own = app.options(job_id="mine").send("jobs.add", 2, 3)
        many = app.job(name="jobs.add")(lambda a, b: a + b).map([(n, 1) for n in range(1100)])
        assert {signed_by(blob) for _, blob in stored(ground)} == {"2026-05"}
        ground.burst()
        assert (named.result(5), own.result(5), many[-1].result(5)) == (1, 5, 1100)
    assert ground.succeeded() == 1102


async def test_async_calls_are_signed_too(server: Server) -> None:
    async with client(server, NEW) as app:
        function = app.job(name="f")(lambda n: n)
        await function.adelay(1)
        await function.amap([(2,), (3,)])
        await app.asend("f", 4)
        blobs = [fields[1] for _, fields in server.cli("XRANGE", keys.jobs("default"), "-", "+")]
    assert [Codec().decode_call(inner(blob)).args for blob in blobs] == [[1], [2], [3], [4]]


@pytest.mark.slow
def test_what_is_not_signed_well_is_not_run(ground: Ground) -> None:
    ground.write(APP)
    ground.env["JOBQ_SIGNING_KEYS"] = f"{NEW},{OLD}"
    call = Codec().encode_call("jobs.add", (1, 2), {}, None)
    forged = bytearray(signer(NEW).sign("default", "forged", call))
    forged[-1] ^= 1
    run = ground.app.store.run
    run(register_queue("default"))
    run(enqueue("default", "bare", call))
    run(enqueue("default", "forged", bytes(forged)))
    run(enqueue("default", "moved", signer(NEW).sign("default", "another", call)))
    with client(ground.server, NEW) as app:
        good = app.send("jobs.add", 7, 1)
        ground.burst()
        assert good.result(5) == 8
    assert ground.ran() == {7: 1}
    found = letters(ground)
    assert {name: one["reason"] for name, one in found.items()} == {
        "bare": "not signed",
        "forged": "bad signature",
        "moved": "bad signature",
    }
    assert found["bare"]["args"] == [1, 2]  # kept whole: a person can look
    assert found["moved"]["signed_by"] == "2026-11"
    with pytest.raises(JobFailed, match="not signed"):
        JobHandle(ground.app._producer, "default", "bare").result(5)
    shown = ground.start("jobq", "dlq", "show", "moved").check(PATIENCE)
    assert "signed by 2026-11 (not checked here)" in shown

    # Retrying the same bytes would bury them again: who has the keys is told, and can sign.
    refused = ground.start("jobq", "dlq", "retry", "--yes", "bare", "forged")
    assert refused.wait(PATIENCE) == 1
    assert "bare cannot be retried: not signed" in refused.text
    assert "jobq dlq retry --resign ID" in refused.text
    ground.start("jobq", "dlq", "retry", "--yes", "--resign", "bare", "moved").check(PATIENCE)
    ground.burst()
    assert ground.ran() == {7: 1, 1: 2}
    assert set(letters(ground)) == {"forged"}


@pytest.mark.slow
def test_resigning_takes_a_key(ground: Ground) -> None:
    ground.write(APP)
    tried = ground.start("jobq", "dlq", "retry", "--all", "--yes", "--resign")
    assert tried.wait(PATIENCE) == 3  # there is nothing to retry
    run = ground.app.store.run
    run(register_queue("default"))
    run(enqueue("default", "bare", Codec().encode_call("jobs.add", (1, 2), {}, None)))
    ground.env["JOBQ_SIGNING_KEYS"] = NEW
    ground.burst()
    del ground.env["JOBQ_SIGNING_KEYS"]
    tried = ground.start("jobq", "dlq", "retry", "bare", "--yes", "--resign")
    assert tried.wait(PATIENCE) == 1
    assert "JOBQ_SIGNING_KEYS" in tried.text
    # Without keys nobody here can tell, so it goes back; and a worker without keys runs it.
    ground.start("jobq", "dlq", "retry", "bare", "--yes").check(PATIENCE)
    ground.burst()
    assert ground.ran() == {1: 1}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "this worker has no signing keys"),
        ({"JOBQ_SIGNING_KEYS": OLD}, "by key '2026-11', which this worker does not have"),
    ],
)
def test_a_worker_without_the_key_leaves_the_call_to_others(
    ground: Ground, env: dict[str, str], said: str
) -> None:
    ground.write(APP)
    with client(ground.server, NEW) as app:
        handle = app.send("jobs.add", 1, 2)
        ground.env.update(env)
        worker = ground.start("jobq", "worker", "--processes", "1")
        wait_until(lambda: "put back" in worker.text, "it was put back", PATIENCE)
        assert said in worker.text
        assert "JOBQ_SIGNING_KEYS" in worker.text
        run = app.store.run
        wait_until(lambda: run(count("default")).unknown == 1, "it waits", PATIENCE)
        seen = run(count("default"))
        assert (seen.retrying, seen.dead) == (1, 0)
        assert handle.status() == "ready"  # it was not started


def test_unsigned_calls_pass_while_producers_get_their_keys(ground: Ground) -> None:
    ground.write(APP)
    ground.send("jobs.flaky", 1)
    ground.env.update({"JOBQ_SIGNING_KEYS": NEW, "JOBQ_ACCEPT_UNSIGNED": "1"})
    ground.burst()
    assert ground.ran() == {1: 1}


def test_a_worker_with_a_key_that_cannot_be_used_ends(ground: Ground) -> None:
    ground.write(APP)
    ground.env["JOBQ_SIGNING_KEYS"] = "2026-11:sesame"
    worker = ground.start("jobq", "worker", "--processes", "1")
    assert worker.wait(PATIENCE) == 1
    assert "JOBQ_SIGNING_KEYS: the secret of '2026-11' has 6 bytes; use 16 or more" in worker.text
    assert "sesame" not in worker.text


# ---------------------------------------------------------------------------- settings


def test_keys_are_asked_for_at_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    app = JobQ("redis://localhost")
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", f"{NEW},{OLD}")
    monkeypatch.setenv("JOBQ_ACCEPT_UNSIGNED", "yes")
    assert app.signer is not None
    assert app.signer.key_ids == ("2026-11", "2026-05")
    assert app.signer.accept_unsigned
    assert JobQ("redis://localhost", signing_keys={}).signer is None
    given = JobQ("redis://localhost", signing_keys={"a": b"x" * 16}, accept_unsigned=False).signer
    assert given is not None
    assert (given.key_ids, given.accept_unsigned) == (("a",), False)
    app.close()
    monkeypatch.delenv("JOBQ_SIGNING_KEYS")
    assert app.signer is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: JobQ(signing_keys={"a": "too short"}), "signing_keys: the secret of 'a' has 9"),
        (lambda: JobQ("redis://x", signing_keys=None).signer, "JOBQ_SIGNING_KEYS has a part with"),
    ],
)
def test_wrong_keys_are_told_without_their_secrets(
    make: Callable[[], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", "sesame")
    with pytest.raises(ConfigError, match=said) as caught:
        make()
    assert "sesame" not in str(caught.value)


def test_a_wrong_word_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQ_ACCEPT_UNSIGNED", "maybe")
    monkeypatch.setenv("JOBQ_SIGNING_KEYS", NEW)
    with pytest.raises(ConfigError, match="JOBQ_ACCEPT_UNSIGNED is 'maybe'; use 1 or 0"):
        JobQ("redis://x").signer  # noqa: B018
