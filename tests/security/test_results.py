"""What stands in Redis is data: nothing there chooses a class, a module or an exception."""

import sys
from collections.abc import Iterator

import msgpack
import pytest

from jobq import JobQ
from jobq.core import result
from jobq.errors import JobFailed, ResultUnreadable
from jobq.store import keys
from tests.scenario.ground import COMMON, Ground
from tests.support.server import Server


@pytest.fixture
def app(server: Server) -> Iterator[JobQ]:
    with JobQ(server.url) as app:
        yield app


@pytest.mark.parametrize(
    "error",
    ["SystemExit", "builtins.KeyboardInterrupt", "os.system", "antigravity.Error", "\x1b[2J"],
)
def test_a_failure_is_always_the_same_exception(app: JobQ, server: Server, error: str) -> None:
    blob = result.dead(error, "rm -rf /", "Traceback", 1)
    server.cli("SET", keys.result("default", "id"), blob, "PX", 60_000)
    with pytest.raises(JobFailed) as caught:
        app.handle("id", "default").result(0)
    assert type(caught.value) is JobFailed
    assert caught.value.error == error
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    "value",
    [
        msgpack.packb(msgpack.ExtType(13, msgpack.packb(["os.system", "true"]))),
        msgpack.packb(msgpack.ExtType(99, b"cos\nsystem\n(S'true'\ntR.")),
        b"\x80\x04\x95",  # how pickles begin
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\xc0",
        b"\xc4",
    ],
)
def test_a_result_that_is_no_data_cannot_be_read(app: JobQ, server: Server, value: bytes) -> None:
    blob = result.SUCCEEDED_HEAD + value
    server.cli("SET", keys.result("default", "id"), blob, "PX", 60_000)
    with pytest.raises(ResultUnreadable):
        app.handle("id", "default").result(0)


def test_a_name_is_looked_up_and_never_imported(ground: Ground) -> None:
    ground.write(COMMON)
    (ground.folder / "trap.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    for name in ("trap.function", "os.system", "jobs.os.getpid", "builtins.eval", "jobs.app.close"):
        ground.send(name, "1")
    healthy = ground.send("jobs.who")
    worker = ground.burst()
    assert healthy.result(5)
    assert worker.text.count("put back") == 5
    assert "imported" not in worker.text
