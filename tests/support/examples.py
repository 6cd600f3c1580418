"""Run the examples of a document as a reader would: top to bottom, in an empty folder.

- A ``python`` block runs, in one namespace for the whole document.
- A block after ``<!-- file: jobs.py -->`` is written to that file instead.
- In a ``console`` block each line that starts with ``$ `` is run by bash and must succeed; one that
  ends in a backslash goes on in the next line. Lines after it are what it says, if there are any:
  ``...`` stands for anything, runs of blanks are alike.
- ``<!-- skip: next -->`` leaves out the next block. All other blocks are only looked at.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sybil import Document, Example, Region
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from tests.support.process import jobq_command

FILE = re.compile(r"<!--\s*file:\s*(?P<name>[\w./-]+)\s*-->\s*\Z")

#: Seconds that a block, or a command of one, may take.
PATIENCE = 50


class Reader:
    """One who follows a document: an empty folder, a Python, a shell.

    Args:
        folder: where files are written and commands run.
        env: variables over those of the tests.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        tools = folder / ".tools"
        tools.mkdir()
        _write_tool(tools / "python", [sys.executable])
        _write_tool(tools / "jobq", jobq_command())
        self._env = {
            **os.environ,
            **env,
            "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }
        self._python = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("interpreter.py"))],
            cwd=folder,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End its Python."""
        try:
            self._python.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._python.kill()
            self._python.communicate()

    def follow(self, path: Path) -> int:
        """Do all that the document shows; returns how many blocks that were.

        Raises:
            SybilFailure: an example does not do what it shows; tells file, line and what it did.
        """
        document = Document.parse(str(path), self._blocks, SkipParser())
        examples = list(document.examples())
        for example in examples:
            example.evaluate()
        return len(examples)

    def _blocks(self, document: Document) -> Iterator[Region]:
        """Parse a document: what is a file, what is code, what is typed."""
        files = []
        for region in FencedCodeBlockLexer(r".*")(document):
            named = FILE.search(document.text, 0, region.start)
            if named is not None:
                region.parsed = (named["name"], region.lexemes["source"])
                region.evaluator = self._write
                files.append(region.start)
                yield region
        for parser in (
            CodeBlockParser("python", self._run_python),
            CodeBlockParser("console", self._run_console),
        ):
            for region in parser(document):
                if region.start not in files:
                    yield region

    def _write(self, example: Example) -> None:
        name, text = example.parsed
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def _run_python(self, example: Example) -> str | None:
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        block = {"code": example.parsed, "path": example.path, "line": example.line + 1}
        self._python.stdin.write(json.dumps(block) + "\n")
        self._python.stdin.flush()
        answer = self._python.stdout.readline()
        if not answer:
            return "its Python ended"
        told = json.loads(answer)
        return f"{told['said']}\n{told['error']}" if told["error"] else None

    def _run_console(self, example: Example) -> str | None:
        for command, expected in dialogue(example.parsed):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            if done.returncode != 0:
                return f"$ {command}\n{done.stdout}exit code {done.returncode}"
            if expected and not alike(expected, done.stdout):
                return f"$ {command}\nshown:\n{expected}\nsaid:\n{done.stdout}"
        return None


def dialogue(text: str) -> list[tuple[str, str]]:
    """Split a console block into commands and what is shown after each."""
    turns: list[tuple[str, str]] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command = f"{command}\n{next(lines, '')}"
            turns.append((command, ""))
        elif turns:
            command, shown = turns[-1]
            turns[-1] = (command, f"{shown}{line}\n")
        elif line.strip():
            raise ValueError(f"a console block starts with `$ `, not with {line!r}")
    return turns


def alike(shown: str, said: str) -> bool:
    """Whether what was said is what is shown: ``...`` is anything, blanks are all one."""
    parts = (r"\s+".join(map(re.escape, part.split())) for part in shown.split("..."))
    return re.fullmatch(r"\s*" + r"\s*.*\s*".join(parts) + r"\s*", said, re.DOTALL) is not None


def _write_tool(path: Path, command: list[str]) -> None:
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in command)
    path.write_text(f'#!/bin/sh\nexec {quoted} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
