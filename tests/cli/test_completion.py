"""`jobq completion`, and what a shell gets that asks."""

import os
import shutil
import subprocess
from pathlib import Path

import msgpack
import pytest

from jobq.store.ops import upkeep
from tests.cli.burying import Undertaker
from tests.cli.conftest import Run
from tests.cli.test_main import NOBODY
from tests.support.process import jobq_command


@pytest.fixture
def complete(run: Run, monkeypatch: pytest.MonkeyPatch) -> "Complete":
    return Complete(run, monkeypatch)


class Complete:
    """Asks as bash does."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run = run
        self._patch = monkeypatch

    def __call__(self, line: str) -> list[str]:
        """Return the words that the last one of the line can become."""
        with self._patch.context() as patch:
            patch.setenv("_JOBQ_COMPLETE", "bash_complete")
            patch.setenv("COMP_WORDS", line)
            patch.setenv("COMP_CWORD", str(len(line.split()) - (not line.endswith(" "))))
            ran = self._run()
        assert (ran.code, ran.err) == (0, "")
        return [word.removeprefix("plain,") for word in ran.out.split()]


def test_commands_and_options(complete: Complete, redis_url: str) -> None:
    assert complete("jobq que") == ["queues", "queue"]
    assert complete("jobq dlq sh") == ["show"]
    assert "--color" in complete("jobq --")
    assert complete("jobq completion z") == ["zsh"]
    assert complete("jobq nonsense que") == ["queues", "queue"]


def test_names_come_from_redis(complete: Complete, undertaker: Undertaker) -> None:
    undertaker.enqueue(queue="mail")
    undertaker.enqueue(queue="bulk")
    record = msgpack.packb({"state": "running", "jobs": ["mail.send", "a\x1b[2Jb"]})
    undertaker.store.run(upkeep.beat("w1", record, 60.0))
    assert complete("jobq queue pause ") == ["bulk", "mail"]
    assert complete("jobq job show x -q m") == ["mail"]
    assert complete("jobq worker -q b") == ["bulk"]
    assert complete("jobq enqueue ") == ["mail.send"]
    assert complete("jobq queue purge mail --job mail") == ["mail.send"]
    assert complete("jobq workers stop w") == ["w1"]
    assert complete("jobq --url redis://127.0.0.1:1 queue pause ") == []


def test_there_is_nothing_where_redis_is_not(
    complete: Complete, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for url in (NOBODY, "http://nonsense"):
        monkeypatch.setenv("JOBQ_REDIS_URL", url)
        assert complete("jobq queue pause ") == []
    monkeypatch.delenv("JOBQ_REDIS_URL")
    monkeypatch.setenv("JOBQ_HOME", str(tmp_path / "home"))
    assert complete("jobq queue pause ") == []
    assert not (tmp_path / "home").exists(), "no server was started for that"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_own(run: Run, shell: str) -> None:
    ran = run("completion", shell)
    assert ran.code == 0
    assert f"_JOBQ_COMPLETE={shell}_complete" in ran.out


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_understands_it(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    tool = tmp_path / "jobq"
    tool.write_text("#!/bin/sh\nexec " + " ".join(f"'{one}'" for one in jobq_command()) + ' "$@"\n')
    tool.chmod(0o755)
    tests = {
        "bash": "source <(jobq completion bash); COMP_WORDS=(jobq que); COMP_CWORD=1; "
        '_jobq_completion jobq; echo "${COMPREPLY[@]}"',
        "zsh": "autoload -U compinit; compinit -D; source <(jobq completion zsh); "
        "whence -w _jobq_completion; echo queues queue",
        "fish": "jobq completion fish | source; complete -C 'jobq que'",
    }
    done = subprocess.run(
        [program, "-c", tests[shell]],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert {"queues", "queue"} <= set(done.stdout.split()), done.stderr
