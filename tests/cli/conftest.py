"""The command line, run in this process, and dead letters to run it on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import loads

import pytest

from jobq.cli.main import main
from tests.cli.burying import Undertaker


@dataclass(frozen=True)
class Ran:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """What it said on stdout, which must be one JSON document."""
        return loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def undertaker(redis_url: str) -> Iterator[Undertaker]:
    """Makes dead letters and other jobs on `server`."""
    one = Undertaker(redis_url)
    yield one
    one.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `jobq` in this process: ``run("dlq", "list")``; wide, and without colours."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("JOBQ_DEBUG", raising=False)

    def start(*words: str) -> Ran:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return start
