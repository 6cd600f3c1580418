"""The mail example, whole: an mbox, a worker, a mail server that refuses some recipients."""

import json
import re
import runpy
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis import Redis

from tests.conftest import Spawn
from tests.support.process import Child
from tests.support.source import ROOT
from tests.support.wait import wait_until

EXAMPLE = ROOT / "docs" / "examples" / "mail"

#: Commands that a reader of the example is told to type.
COMMANDS = (
    "python smtp_server.py",
    "python enqueue.py sample.mbox",
    "jobq worker --burst",
    "jobq dlq list",
)

#: How often a recipient is refused before its message is taken, by domain.
REFUSALS = {"here.example": 0, "once.example": 1, "twice.example": 2}

#: Seconds that all deliveries together may take; alone on two cores they take about five.
PATIENCE = 30.0


class Sent(NamedTuple):
    """What goes over the wire for one recipient."""

    sender: str
    recipient: str
    content: bytes


class Post:
    """The example in a folder of its own, with its mail server running."""

    def __init__(self, folder: Path, spawn: Spawn) -> None:
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "received"))
        self.folder = folder
        self._spawn = spawn
        server = self.start("python", "smtp_server.py", "--port", "0")
        place = server.wait_for_line(r"listening on (\S+)")[1]
        self._env = {"MAIL_SERVER": place}

    def start(self, *words: str) -> Child:
        """Start a command in the folder."""
        return self._spawn(*words, cwd=self.folder, env=getattr(self, "_env", None))

    def enqueue(self) -> str:
        """Enqueue the mbox; returns what the script said."""
        return self.start("python", "enqueue.py", "sample.mbox").check()

    def log(self) -> list[dict[str, Any]]:
        """Return what the mail server did so far; a line that is being written waits."""
        path = self.folder / "received" / "log.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def accepted(self) -> Counter[Sent]:
        """Return what it has accepted, and how often."""
        return Counter(
            # aiosmtpd shows the empty sender of a bounce as it stands in MAIL FROM:<>.
            Sent(event["sender"].replace("<>", ""), recipient, self._kept(event["accepted"]))
            for event in self.log()
            if "accepted" in event
            for recipient in event["recipients"]
        )

    def arrived(self) -> int:
        """Return for how many recipients it has accepted something."""
        events = (event for event in self.log() if "accepted" in event)
        return len({recipient for event in events for recipient in event["recipients"]})

    def refused(self) -> Counter[str]:
        """Return how often each recipient was refused."""
        return Counter(event["recipients"][0] for event in self.log() if "refused" in event)

    def dead(self) -> list[dict[str, Any]]:
        """Return what ``jobq dlq list`` lists."""
        listed = self.start("jobq", "dlq", "list", "--limit", "1000", "--json").check()
        return list(json.loads(listed))

    def _kept(self, name: str) -> bytes:
        return (self.folder / "received" / name).read_bytes()


@pytest.fixture
def post(tmp_path: Path, redis_url: str, spawn: Spawn) -> Post:
    return Post(tmp_path / "mail", spawn)


@pytest.fixture(scope="module")
def mails() -> list[Any]:
    """The messages, from their maker: not as the example reads them."""
    maker = runpy.run_path(str(EXAMPLE / "make_mbox.py"))
    return list(maker["Writer"]().mails())


def wire(mails: Iterable[Any]) -> Iterator[Sent]:
    """Yield what should go over the wire, for each recipient of each message."""
    for mail in mails:
        for recipient in mail.recipients:
            yield Sent(mail.sender, recipient, mail.content.replace(b"\n", b"\r\n"))


def deliverable(mails: Iterable[Any]) -> Counter[Sent]:
    return Counter(one for one in wire(mails) if domain(one.recipient) in REFUSALS)


def hopeless(mails: Iterable[Any]) -> list[Sent]:
    return [one for one in wire(mails) if domain(one.recipient) not in REFUSALS]


def domain(address: str) -> str:
    return address.rpartition("@")[2]


def check_dead(post: Post, mails: Iterable[Any]) -> None:
    """Check that the dead letters are those that are refused for ever, and nothing else."""
    letters = post.dead()
    expected = [
        [one.sender, one.recipient, in_json(one.content.replace(b"\r\n", b"\n"))]
        for one in hopeless(mails)
    ]
    assert sorted(letter["args"] for letter in letters) == sorted(expected)
    for letter in letters:
        about = (letter["job"], letter["queue"], letter["attempts"])
        assert about == ("jobs.send_email", "mail", 1)
        recipient = letter["args"][1]
        assert letter["reason"] == f"{recipient} was refused: 550 5.1.1 no such mailbox"
        assert "SMTPRecipientsRefused" in letter["traceback"]


def in_json(content: bytes) -> str:
    """Return bytes as ``--json`` shows them."""
    return repr(content)[2:-1]


def depths(post: Post) -> list[dict[str, Any]]:
    return list(json.loads(post.start("jobq", "queues", "--json").check()))


# ---------------------------------------------------------------------------- the tests


def test_the_sample_is_what_its_maker_makes(mails: list[Any]) -> None:
    maker = runpy.run_path(str(EXAMPLE / "make_mbox.py"))
    assert (EXAMPLE / "sample.mbox").read_bytes() == maker["mbox"](iter(mails))
    domains = Counter(domain(one.recipient) for one in wire(mails))
    assert min(domains.values()) >= 20
    assert set(domains) == {*REFUSALS, "never.example"}
    assert len({one.recipient for one in wire(mails)}) == domains.total()


def test_the_readme_tells_what_is_tested_here() -> None:
    told = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    assert not [command for command in COMMANDS if command not in "".join(told)]


def test_all_is_delivered_once_or_dead(post: Post, redis: Redis, mails: list[Any]) -> None:
    worker = post.start("jobq", "worker", "--processes", "2")
    worker.wait_for_line(r"queues\s+mail")
    expected, lost = deliverable(mails), len(hopeless(mails))

    assert post.enqueue() == f"enqueued {expected.total() + lost} jobs"
    wait_until(
        lambda: post.arrived() == len(expected) and redis.hlen("jobq:{mail}:index") == lost,
        "all is delivered or dead",
        PATIENCE,
    )
    worker.terminate()
    assert worker.wait() == 0

    assert post.accepted() == expected
    assert post.refused() == Counter(
        {
            one.recipient: REFUSALS.get(domain(one.recipient), 1)
            for one in wire(mails)
            if domain(one.recipient) != "here.example"
        }
    )
    check_dead(post, mails)
    (queue,) = depths(post)
    assert (queue["ready"], queue["running"], queue["retrying"], queue["dead"]) == (0, 0, 0, lost)
    assert queue["totals"]["succeeded"] == len(expected)


@pytest.mark.slow
def test_nothing_is_lost_when_all_workers_are_killed(
    post: Post, redis: Redis, mails: list[Any]
) -> None:
    expected = deliverable(mails)
    post.enqueue()
    first = post.start("jobq", "worker", "--processes", "2", "--lease", "1")
    wait_until(lambda: post.arrived() > 50, "some mail has arrived", PATIENCE)
    first.kill_group()  # SIGKILL, the supervisor too: only the leases tell
    left = redis.hlen("jobq:{mail}:index")

    post.start("jobq", "worker", "--burst", "--processes", "2", "--lease", "1").check(PATIENCE)
    arrived = post.accepted()

    assert left > len(hopeless(mails)), "it was killed too late to prove anything"
    assert set(arrived) == set(expected)
    # Repeated is what was running, and what had finished in the last 10 ms or so: a few.
    assert arrived.total() - expected.total() <= 20
    dead = {letter["args"][1] for letter in post.dead()}
    assert dead == {one.recipient for one in hopeless(mails)}
