"""Rolling deploys: what a worker does not know waits (G12), and two releases share a queue."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from jobq.errors import JobCancelled, JobFailed
from tests.faults.conftest import Fault
from tests.faults.field import SYNC, Field
from tests.faults.hosts import Host, all_once, longest_wait, started_in, wait_gone
from tests.support.process import Child
from tests.support.source import ROOT
from tests.support.wait import wait_until

SLOW = pytest.mark.slow

#: What stands for the release before this one until there is a tag: the last change of what is kept
#: in Redis that an older program cannot read. After the first release there must be none.
FIRST: Final = "563692d"


def git(*words: str) -> bytes:
    """Ask the history of the project; it is only read."""
    program = shutil.which("git")
    if program is None:
        pytest.skip("no git: the release before this one is not to be had")
    done = subprocess.run([program, "-C", str(ROOT), *words], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release before this one, as its wheel installs it: a folder for PYTHONPATH."""
    tag = git("describe", "--tags", "--abbrev=0", "HEAD^") or git("rev-parse", FIRST)
    archive = git("archive", tag.decode().strip()) if tag else b""
    if not archive:
        pytest.skip("no history of the project here: the release before this one is not to be had")
    tree = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(tree, filter="data")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tree / "dist")]
    subprocess.run(build, cwd=tree, capture_output=True, check=False)
    wheels = list((tree / "dist").glob("*.whl"))
    if not wheels:
        return tree  # no hatchling: the tree has the same modules
    site = tree / "site"
    shutil.unpack_archive(wheels[0], site, "zip")
    return site


# ---------------------------------------------------------------------------- unknown


def queue_now(field: Field) -> dict[str, Any]:
    """Return what ``jobq queues --json`` says of the queue."""
    (found,) = json.loads(field.start("jobq", "queues", "--json").check())
    return dict(found)


def put_unknown(field: Field) -> list[str]:
    """Enqueue a call by a name that only a later release has, and one in a format of one."""
    field.redis.sadd("jobq:queues", "default")
    ids = field.put("jobs.later", [(1,)])
    encode = field.app.codec.encode_call
    blob = bytearray(encode("jobs.work", (2,), {}, None))
    assert blob[1] == 1, "the version of the format"
    blob[1] = 2
    newer = "01newer00000000000000000aa"
    entry: bytes = field.server.cli("XADD", "jobq:{default}:jobs", "*", newer, bytes(blob))
    field.redis.hset("jobq:{default}:index", newer, b"j" + entry)
    return [*ids, newer]


#: The release that knows both: a name more, and a format that it reads like the one before.
LATER = (
    SYNC
    + """
from jobq.core.codec import Codec
before = Codec.unpack_call
Codec.unpack_call = lambda self, blob: before(self, blob[:1] + bytes([1]) + blob[2:])

@app.job(retries=0, result_ttl="1h")
def later(n):
    job = begin()
    end(job)
    return n
"""
)


@pytest.mark.fault("G12")
def test_what_no_worker_knows_waits_and_is_seen(field: Field, fault: Fault) -> None:
    ids = put_unknown(field)
    known = field.put("jobs.work", [(n,) for n in range(20)])
    worker = field.worker()
    wait_until(lambda: len(field.ends()) == len(known), "what is known has run")
    worker.wait_for_line("put back job=.* knows no job function 'jobs.later'")
    worker.wait_for_line("put back job=.* format 2 is newer")
    now = queue_now(field)
    told = field.start("jobq", "queues")
    told.check()

    account = field.account([*ids, *known])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert (now["retrying"], now["unknown"], now["dead"]) == (2, 2, 0)
    assert now["put_back"] >= 2
    assert "2 of those that are retrying have a name that no worker knows" in told.text
    assert account.live == set(ids)
    assert worker.running


@pytest.mark.slow
@pytest.mark.fault("G12")
def test_what_was_unknown_runs_once_its_release_is_there(field: Field, fault: Fault) -> None:
    """It used up no attempt by having been handed to workers that do not know it."""
    ids = put_unknown(field)
    worker = field.worker()
    worker.wait_for_line("put back job=.* knows no job function")
    worker.wait_for_line("put back job=.* newer")
    field.write(LATER)
    new = field.worker()
    worker.terminate()
    field.wait_traced("end", 2, 40)
    field.wait_over()

    account = field.account(ids)
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert all_once(account, ids)
    assert {rest[1] for rest in field.traced("start")} == {"1"}
    assert [field.app.handle(one).result(timeout=1) for one in ids] == [1, 2]
    assert worker.wait() == 0
    assert new.running
    assert field.dead() == []


# ---------------------------------------------------------------------------- two releases

#: The same app for both releases. Jobs say which one runs them.
SHARED = (
    SYNC
    + """
import jobq
RELEASE = "old" if "previous" in jobq.__file__ else "new"

def begin():
    job = current_job()
    trace("start", job.id, job.attempt, os.getpid(), time.monotonic(), RELEASE)
    return job

@app.job(retries=1, backoff=0.05)
def fails(n):
    begin()
    raise ValueError("always")"""
)

#: What a producer does: it enqueues so many of each, in all ways that there are, and tells the ids.
PRODUCE = """\
import json, sys
import jobs
many = int(sys.argv[1])
print(json.dumps({
    "release": jobs.RELEASE,
    "work": [one.id for one in jobs.work.map([(n, 0.01) for n in range(many)])],
    "fails_once": [jobs.fails_once.delay(n).id for n in range(many // 5)],
    "dies": [jobs.app.send("jobs.dies", n).id for n in range(many // 10)],
    "fails": [jobs.fails.options(retries=1, timeout=30).delay(n).id for n in range(many // 10)],
}))
"""


class Releases:
    """The old release and the new one on one queue."""

    def __init__(self, field: Field, previous: Path) -> None:
        self.field = field
        self._old = {"PYTHONPATH": str(previous)}
        field.write(SHARED)
        (field.folder / "produce.py").write_text(PRODUCE, encoding="utf-8")

    def run(self, release: str, *words: str) -> Child:
        """Start a command of one of the releases."""
        return self.field.start(*words, env=self._old if release == "old" else None)

    def say(self, release: str, *words: str) -> Any:
        """Run a command of one of the releases, and return the JSON that it says."""
        return json.loads(self.run(release, "jobq", *words, "--json").check(20))

    def host(self, release: str, name: str, *options: str, processes: int = 1) -> Host:
        """Start a host of one of the releases, and wait until its workers are there."""
        words = ("jobq", "worker", "--processes", str(processes), "--name", name, *options)
        host = Host(name, self.run(release, *words))
        wait_until(lambda: len(host.workers) >= processes, f"{name} has its workers", 30)
        return host

    def produce(self, release: str, many: int) -> dict[str, list[str]]:
        """Enqueue jobs of all kinds from one of the releases; returns their ids by kind."""
        made = json.loads(self.run(release, "python", "produce.py", str(many)).check(20))
        assert made.pop("release") == release
        return dict(made)

    def ran_in(self, ids: Iterable[str]) -> Counter[str]:
        """Return how many starts of these jobs there were in each release."""
        asked = set(ids)
        return Counter(rest[4] for rest in self.field.traced("start") if rest[0] in asked)


@pytest.fixture
def releases(field: Field, previous: Path) -> Releases:
    """Both releases, on one queue."""
    return Releases(field, previous)


@pytest.mark.slow
@pytest.mark.fault("G1", "G12")
def test_two_releases_share_a_queue(releases: Releases, fault: Fault) -> None:
    """Each producer's jobs run in each release's worker; failures and letters are common."""
    field, many = releases.field, 200
    made = {release: releases.produce(release, many) for release in ("old", "new")}
    for release in ("old", "new"):
        releases.host(release, release)
    field.wait_over(timeout=60)

    every = [one for kinds in made.values() for ids in kinds.values() for one in ids]
    account = field.account(every)
    expected = {"work": 1, "fails_once": 2, "dies": 1, "fails": 2}
    wrong = {
        one: account.starts[one]
        for kinds in made.values()
        for kind, ids in kinds.items()
        for one in ids
        if account.starts[one] != expected[kind]
    }
    fault.lost, fault.duplicated = len(account.lost), sum(wrong.values())
    assert account.lost == frozenset()
    assert not wrong
    for release, kinds in made.items():
        both = releases.ran_in(kinds["work"])
        assert min(both["old"], both["new"]) > 0, f"what {release} had enqueued ran in one only"
    dead = {one for kinds in made.values() for kind in ("dies", "fails") for one in kinds[kind]}
    assert account.dead == dead
    lists = {
        release: releases.say(release, "dlq", "list", "--limit", "1000")
        for release in ("old", "new")
    }
    assert [letter["id"] for letter in lists["old"]] == [letter["id"] for letter in lists["new"]]
    assert [letter["error"] for letter in lists["old"]] == [
        letter["error"] for letter in lists["new"]
    ]
    assert {letter["id"] for letter in lists["new"]} == dead


@pytest.mark.slow
@pytest.mark.fault("G1", "G12")
def test_either_release_manages_what_the_other_has_left(releases: Releases, fault: Fault) -> None:
    """Dead letters are retried, waiting jobs shown and cancelled, by the other release."""
    field = releases.field
    buried: dict[str, str] = {}
    for release in ("old", "new"):
        host = releases.host(release, release)
        (buried[release],) = field.put("jobs.dies", [(1,)])
        field.wait_over()
        assert releases.ran_in([buried[release]]) == {release: 1}
        host.child.terminate()
        assert host.child.wait() == 0
    for release, other in (("old", "new"), ("new", "old")):
        releases.run(other, "jobq", "dlq", "retry", buried[release], "--yes").check()
        (waits,) = field.put("jobs.work", [(1,)], queue=f"q-{release}")
        handle = field.app.handle(waits)
        assert releases.say(release, "job", "show", waits)["id"] == waits
        releases.run(release, "jobq", "job", "cancel", waits).check()
        with pytest.raises(JobCancelled):
            handle.result(timeout=1)
        assert releases.say(other, "job", "show", waits)["state"] == "cancelled"
    host = releases.host("new", "again")
    field.wait_over()

    account = field.account(buried.values())
    fault.lost, fault.duplicated = len(account.lost), account.starts.total() - 4
    assert {one: account.starts[one] for one in buried.values()} == dict.fromkeys(
        buried.values(), 2
    )
    assert account.dead == set(buried.values())
    assert host.child.running


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids=["deploy", "rollback"])
@pytest.mark.slow
@pytest.mark.fault("G7", "G12")
def test_a_rollout_and_a_rollback_under_load(
    releases: Releases, fault: Fault, order: tuple[str, str]
) -> None:
    """One release's workers are stopped while the other's start: nothing lost or repeated."""
    field, many = releases.field, 600
    before, after = order
    first = [releases.host(before, f"{before}{n}") for n in range(2)]
    ids = releases.produce(before, many)["work"]
    for n, host in enumerate(first):
        wait_until(lambda: len(field.ends()) > (n + 1) * many // 6, "it works")  # noqa: B023
        host.child.terminate()
        releases.host(after, f"{after}{n}")
        assert host.child.wait(20) == 0
    field.wait_over(timeout=60)

    account = field.account(ids)
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    both = releases.ran_in(ids)
    assert min(both["old"], both["new"]) > 0
    assert all_once(account, ids)


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")], ids=["old dies", "new dies"])
@pytest.mark.slow
@pytest.mark.fault("G4", "G12")
def test_the_host_of_one_release_is_recovered_by_the_other(
    releases: Releases, fault: Fault, order: tuple[str, str]
) -> None:
    field, lease = releases.field, 1.0
    dies, lives = order
    host = releases.host(dies, "dies", "--lease", str(lease))
    job = field.app.options(hard_timeout=60).send("jobs.work", 1, 1.5)
    field.wait_traced("start")
    more = field.put("jobs.work", [(n,) for n in range(20)])
    pids = host.pids
    host.child.kill_group()
    wait_gone(pids)
    releases.host(lives, "lives", "--lease", str(lease))
    at = time.monotonic()
    field.wait_over()

    account = field.account([job.id, *more])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    fault.recovery = field.started_at(job.id, 2) - at
    assert job.result(timeout=1) == 1
    assert account.duplicated == 1
    assert len(started_in(field, job.id)) == 2
    assert releases.ran_in([job.id]) == {dies: 1, lives: 1}
    assert fault.recovery <= longest_wait(lease)


@pytest.mark.slow
@pytest.mark.fault("G1", "G12")
def test_a_cancel_that_the_old_release_does_not_hear(releases: Releases, fault: Fault) -> None:
    """A job that runs in its worker ends as if nobody had asked, and leaves nothing behind."""
    field = releases.field
    releases.host("old", "old")
    ends, fails = field.send("jobs.work", 1, 1.0), field.send("jobs.fails", 1)
    field.wait_traced("start")
    assert ends.cancel()
    releases.host("new", "new")
    assert ends.result(timeout=10) == 1
    with pytest.raises(JobFailed):
        fails.result(timeout=10)
    field.wait_over()

    account = field.account([ends.id])
    fault.lost, fault.duplicated = len(account.lost), account.duplicated
    assert all_once(account, [ends.id])
    assert ends.status() == "succeeded"
