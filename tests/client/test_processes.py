"""Threads, forks and event loops; what an import costs."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobq import JobQ
from tests.support.server import Server

#: Milliseconds that the budget gives to `import jobq`; a busy machine gets three times that.
IMPORT_MS = 60


STRICT = ("-X", "dev", "-W", "error")


def run(code: str, server: Server, *words: str) -> str:
    """Run a program that must say nothing on stderr; return what it said on stdout."""
    env = {**os.environ, "JOBQ_REDIS_URL": server.url}
    command = [sys.executable, *words, "-c", textwrap.dedent(code)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def jobs(server: Server) -> list[bytes]:
    return [row[1][0] for row in server.cli("XRANGE", "jobq:{default}:jobs", "-", "+")]


def test_threads_share_an_app(app: JobQ, server: Server) -> None:
    working = app.job(lambda number: number, name="work")
    with ThreadPoolExecutor(8) as pool:
        handles = list(pool.map(working.delay, range(400)))
    assert sorted(jobs(server)) == sorted(handle.id.encode() for handle in handles)


def test_a_fork_has_connections_and_ids_of_its_own(server: Server) -> None:
    said = run(
        """
        import json, os, sys
        from jobq import JobQ
        app = JobQ()
        working = app.job(lambda number: number, name="work")
        ids = [working.delay(0).id]
        pipes = []
        for child in range(3):
            reader, writer = os.pipe()
            if os.fork() == 0:
                mine = [working.delay(number).id for number in range(100)]
                os.write(writer, json.dumps(mine).encode())
                os._exit(0)
            os.close(writer)
            pipes.append(reader)
        ids += [working.delay(number).id for number in range(100)]
        for reader in pipes:
            with open(reader) as file:
                ids += json.load(file)
        for _ in pipes:
            assert os.wait()[1] == 0
        app.close()
        print(json.dumps(ids))
        """,
        server,
    )
    ids = json.loads(said)
    assert len(set(ids)) == 401
    assert sorted(jobs(server)) == sorted(one.encode() for one in ids)


@pytest.mark.parametrize(("closing", "words"), [("async with app:", STRICT), ("if True:", ())])
def test_one_event_loop_after_the_other(
    server: Server, closing: str, words: tuple[str, ...]
) -> None:
    said = run(
        f"""
        import asyncio
        from jobq import JobQ
        app = JobQ()
        working = app.job(lambda number: number, name="work")
        async def main(number):
            {closing}
                return await asyncio.gather(*(working.adelay(number) for number in range(20)))
        print(sum(len(asyncio.run(main(number))) for number in range(3)))
        """,
        server,
        *words,
    )
    assert said == "60\n"
    assert len(jobs(server)) == 60


def test_event_loops_in_threads_share_an_app(app: JobQ, server: Server) -> None:
    working = app.job(lambda number: number, name="work")

    async def main() -> int:
        async with app:
            return len(await asyncio.gather(*(working.adelay(number) for number in range(50))))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: asyncio.run(main()), range(8))) == 400
    assert len(set(jobs(server))) == 400


LIGHT = """
import json, sys, time
start = time.perf_counter()
import jobq
took = time.perf_counter() - start
print(json.dumps([took * 1000, sorted(sys.modules)]))
"""


def test_the_import_is_light(tmp_path: Path) -> None:
    # Compiled once, as an installed package is, whatever the environment of the tests says.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    command = [sys.executable, "-c", LIGHT]
    looked = [json.loads(subprocess.check_output(command, env=env)) for _ in range(4)]
    modules = set(looked[0][1])
    assert not modules & {"redis", "asyncio", "multiprocessing", "concurrent.futures", "subprocess"}
    assert "jobq.runtime" not in modules
    assert min(took for took, _ in looked) < 3 * IMPORT_MS


def test_a_sync_producer_never_imports_asyncio(server: Server) -> None:
    said = run(
        """
        import sys
        from jobq import JobQ
        with JobQ() as app:
            handle = app.send("x")
            handle.status(), handle.cancel
            try:
                handle.result(timeout=0.01)
            except TimeoutError:
                pass
        print(sorted({"asyncio", "redis"} & set(sys.modules)))
        """,
        server,
    )
    assert said == "[]\n"
