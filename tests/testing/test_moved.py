"""Scripts that obey the clock of tests: every one of them does, and only where a test wants it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest
from redis import Redis

import jobq.store.ops
from jobq import JobQ
from jobq.store import keys
from jobq.store.clock import move, obey_test_clock
from jobq.store.moved import TIME, moved
from jobq.store.ops import enqueue, upkeep
from jobq.store.wire import TEST_CLOCK, Script
from tests.support import source
from tests.support.server import Server

HOUR = 3_600_000


@pytest.fixture
def obeying() -> Iterator[None]:
    """The scripts of this process obey."""
    before = obey_test_clock()
    yield
    obey_test_clock(obey=before)


def sent(name: str) -> str:
    """Return the text that Redis is given of a script now."""
    return Script(name).text


def test_in_production_a_script_is_its_file() -> None:
    for path in source.scripts():
        assert sent(path.stem) == path.read_text(encoding="utf-8")


@pytest.mark.usefixtures("obeying")
def test_a_real_server_takes_every_moved_script(redis: Redis) -> None:
    changed = 0
    for path in source.scripts():
        text = sent(path.stem)
        assert redis.script_load(text)
        changed += text != path.read_text(encoding="utf-8")
        assert text.count("redis.call('TIME')") == int("moved_time()" in text)
    assert changed > 10


def test_what_was_made_of_texts_is_forgotten(server: Server) -> None:
    for module in iter_modules(jobq.store.ops.__path__):
        import_module(f"jobq.store.ops.{module.name}")
    shas = {script.name: script.sha for script in Script.every}
    words = enqueue.enqueue("mail", "a" * 26, b"").words
    before = obey_test_clock()
    try:
        assert enqueue.enqueue("mail", "a" * 26, b"").words[1] != words[1]
        assert {one.name for one in Script.every if one.sha == shas[one.name]}.isdisjoint(
            {"enqueue", "claim", "promote", "now"}
        )
    finally:
        obey_test_clock(obey=before)
    assert enqueue.enqueue("mail", "a" * 26, b"").words == words
    assert {script.name: script.sha for script in Script.every} == shas


def test_new_entries_have_the_moved_time_and_never_go_back(server: Server) -> None:
    app = JobQ(server.url)
    before = obey_test_clock()
    try:
        seen: list[int] = []
        for by in (0, HOUR, 0, 1, HOUR):
            app.store.run(move(by))
            seen.append(app.store.run(upkeep.time_ms()))
            app.send("a")
            app.send("b")
        entries = server.cli("XRANGE", keys.jobs("default"), "-", "+")
    finally:
        obey_test_clock(obey=before)
        server.cli("DEL", keys.CLOCK)
    ms = [int(entry.split(b"-")[0]) for entry, _ in entries]
    for at, now in enumerate(seen):
        assert now <= ms[2 * at] < now + 1000
    # Without it, time goes back: entries go on after the last one.
    app.send("c")
    (last, _), *_ = server.cli("XREVRANGE", keys.jobs("default"), "+", "-")
    assert int(last.split(b"-")[0]) == ms[-1]
    app.close()


def test_scripts_without_time_or_entries_stay_as_they_are() -> None:
    assert moved("return 1") == "return 1"
    assert TIME not in moved(f"local time = {TIME}").rpartition("end\n")[2]
    key = "streams[letter]"
    assert f"'XADD', {key}, moved_id({key}), id" in moved(f"redis.pcall('XADD', {key}, '*', id)")
    cut = "redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'a', 1)"
    assert "ARGV[1], moved_id(KEYS[1]), 'a'" in moved(cut)


def test_a_variable_turns_it_on_in_a_new_process() -> None:
    code = "from jobq.store.wire import Script; print('moved_time()' in Script('now').text)"
    env = {**os.environ, TEST_CLOCK: "1"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_moved_scripts_pass_the_tests_of_the_store() -> None:
    env = {**os.environ, TEST_CLOCK: "1"}
    words = ("-q", "-p", "no:cacheprovider", "-m", "not slow", "-k", CARRIERS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "tests/store"],
        cwd=source.ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


#: One way to carry ops is enough; and users of the ACL may not read the clock.
CARRIERS = "not resp3 and not async and not a_user_who_may_not"
