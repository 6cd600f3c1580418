"""The rules of the house that no linter knows. They have no exceptions."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from redis import Redis

import jobq
from jobq.store.moved import ADDED, TIME
from tests.support import source
from tests.support.lua import violations

MOST_LINES = 400
MOST_PARAMETERS = 12

#: A key, or the start of one; "jobq: a message" is none.
KEY = re.compile(r"\bjobq:(?=[{a-z*])")

#: Other systems' words for what has a name of ours (docs/glossary.md).
FOREIGN = re.compile(r"\b(actor|broker|horse|kick|morgue|revoke|beat)s?\b", re.IGNORECASE)
#: A line of a document with this mark may say them: "what Celery calls …".
MARK = "<!-- foreign words -->"

#: The one form of it.
TIME_IN_SCRIPTS = f"""\
local time = {TIME}
local now = time[1] * 1000 + math.floor(time[2] / 1000)"""

MODULES = pytest.mark.parametrize("path", source.modules(), ids=source.name)
SCRIPTS = pytest.mark.parametrize("path", source.scripts(), ids=source.name)
DOCUMENTS = pytest.mark.parametrize("path", source.documents(), ids=source.name)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------------------- modules


@MODULES
def test_no_module_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@MODULES
def test_our_own_code_is_imported_at_the_top(path: Path) -> None:
    late = [
        f"line {found.lineno}: {ast.unparse(found)}"
        for function in source.functions(parse(path))
        for found in source.own_imports(function)
    ]
    assert not late


@MODULES
def test_no_constructor_is_wide(path: Path) -> None:
    tree = parse(path)
    wide = [
        f"line {function.lineno}: {source.parameters(function)} parameters"
        for function in source.functions(tree)
        if function.name == "__init__" and source.parameters(function) > MOST_PARAMETERS
    ]
    wide += [
        f"line {node.lineno}: {node.name} has {source.fields(node)} fields"
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and source.fields(node) > MOST_PARAMETERS
    ]
    assert not wide


@MODULES
def test_keys_are_named_in_one_place(path: Path) -> None:
    if source.name(path) == "jobq/store/keys.py":
        return
    literals = [
        f"line {line}: {text!r}" for line, text in source.texts(parse(path)) if KEY.search(text)
    ]
    assert not literals


# ---------------------------------------------------------------------------- scripts


@SCRIPTS
def test_the_header_of_a_script_is_true(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


@SCRIPTS
def test_a_script_builds_no_keys(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if KEY.search(line.partition("--")[0])]


@SCRIPTS
def test_a_script_takes_its_time_where_the_clock_of_tests_can_move_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").partition("\n]]\n")[2].splitlines()
    code = "\n".join(line.partition("--")[0].rstrip() for line in ("", *lines, ""))
    assert code.count("TIME'") == code.count(f"\n{TIME_IN_SCRIPTS}\n"), TIME_IN_SCRIPTS
    assert code.count("'XADD'") == len(ADDED.findall(code)), "'XADD', key, '*'"


@SCRIPTS
def test_a_real_server_takes_the_script(path: Path, redis: Redis) -> None:
    assert len(redis.script_load(path.read_text(encoding="utf-8"))) == 40


# ---------------------------------------------------------------------------- public names


@pytest.mark.parametrize("name", jobq.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    public = getattr(jobq, name)
    if isinstance(public, str | int | float):
        return
    assert inspect.getdoc(public), f"jobq.{name} has no docstring"
    if not inspect.isclass(public):
        return
    silent = [
        attribute
        for attribute, value in vars(public).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(public, attribute))
    ]
    assert not silent, f"jobq.{name}: without a docstring"


def test_public_names_are_our_own_words() -> None:
    names = {
        *jobq.__all__,
        *(attribute for name in jobq.__all__ for attribute in dir(getattr(jobq, name))),
    }
    words = {name: re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name) for name in names}
    assert not {name for name, text in words.items() if FOREIGN.search(text)}


@DOCUMENTS
def test_documents_speak_our_own_words(path: Path) -> None:
    foreign = [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FOREIGN.search(line) and MARK not in line
    ]
    assert not foreign


# ---------------------------------------------------------------------------- the rules themselves

LOOP = "for i = 2, #ARGV, 2 do redis.call('HSET', index, ARGV[i], ARGV[1]) end"
GOOD = f"""\
--[[
Make a job known, once.

KEYS
  1  index  hash  where each job is,
                  in words
ARGV
  1  now    milliseconds
  2… id and body of each call, in turn
RETURNS
   1  enqueued
]]
local index = KEYS[1] -- and KEYS[7] in a comment
{LOOP}
return 1
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("--[[\n", "--[[ Make.\n", "does not start with a"),
        ("Make a job known, once.", "", "sentence"),
        ("RETURNS\n   1  enqueued\n", "", "RETURNS"),
        ("hash  where", "table  where", "this line is not"),
        ("  1  now ", "  3  now ", "numbered [3, 2]"),
        ("  2… id and body", "  2  calls  id and body", "no tail"),
        (
            "for i = 2, #ARGV, 2 do redis.call('HSET', index, ARGV[i], ARGV[1]) end",
            "",
            "never uses",
        ),
        ("local index = KEYS[1]", "local index = KEYS[2]", "KEYS[2] is used and not declared"),
        ("local index = KEYS[1]", "local index = 'k'", "KEYS[1] is declared and not used"),
        ("local index = KEYS[1]", "local index = KEYS[1 + 0]", "no tail"),
    ],
)
def test_a_false_header_is_seen(old: str, new: str, problem: str) -> None:
    assert violations(GOOD) == []
    assert old in GOOD
    assert problem in " ".join(violations(GOOD.replace(old, new)))


def test_late_imports_wide_constructors_and_keys_are_seen() -> None:
    tree = ast.parse(
        '"""Docs may say jobq:{mail}:jobs."""\n'
        "def f():\n    from jobq.core import job\n    import json\n"
        "@dataclass\nclass A:\n    a: int\n    b: int = field(init=False)\n    C: ClassVar[int]\n"
        "def g(queue):\n    return f'jobq:{queue}:jobs', b'jobq:queues'\n"
        "words = 'jobq:', f'jobq: {name}'\n"
    )
    found = [ast.unparse(node) for f in source.functions(tree) for node in source.own_imports(f)]
    assert found == ["from jobq.core import job"]
    assert [source.fields(node) for node in tree.body if isinstance(node, ast.ClassDef)] == [1]
    keys = {text for _, text in source.texts(tree) if KEY.search(text)}
    assert keys == {"jobq:{", "jobq:queues"}


@pytest.mark.parametrize("word", ["broker", "Actors", "a horse,", "beat."])
def test_foreign_words_are_seen(word: str) -> None:
    assert FOREIGN.search(word)
    assert not FOREIGN.search("heartbeat, factor, kickstart")
