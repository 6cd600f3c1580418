"""The contract at the head of a Lua script, read so that a test can hold the body to it.

--[[
Make a job known and put it on its queue's stream, once.

KEYS
  1  index   hash    where each job is
  2  stream  stream  the queue's ready jobs
ARGV
  1  now     milliseconds
  2… id and body of each call, in turn
RETURNS
   1  enqueued
]]
"""

import re
from dataclasses import dataclass

TYPES = "stream|hash|zset|set|list|string|any"

HEADER = re.compile(r"\A--\[\[\n(?P<text>.*?)\n\]\]\n", re.DOTALL)
SECTION = re.compile(r"^(KEYS|ARGV|RETURNS)$", re.MULTILINE)
KEY_LINE = re.compile(rf"^ +(\d+)  \S+ +(?:{TYPES})  +\S.*$")
ARGUMENT_LINE = re.compile(r"^ +(\d+)  \S+  +\S.*$")
TAIL_LINE = re.compile(r"^ +(\d+)… \S.*$")
#: What is indented deeper goes on with the line before.
NUMBERED = re.compile(r"^ {1,3}\d")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a header declares, or a body uses, of KEYS or ARGV.

    Attributes:
        numbers: the positions that are named.
        tail: whether there are more: a line ``N…``, or an index that is computed.
    """

    numbers: frozenset[int] = frozenset()
    tail: bool = False


def violations(source: str) -> list[str]:
    """Tell in what a script breaks the rule of contract headers; empty if in nothing."""
    header = HEADER.match(source)
    if header is None:
        return ["it does not start with a --[[ header ]] whose marks stand on lines of their own"]
    first, *parts = SECTION.split(header["text"])
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    body = _without_comments(source[header.end() :])
    problems = []
    if not re.match(r"[A-Z].*\.", first.strip(), re.DOTALL):
        problems.append("the header does not start with a sentence")
    if not sections.get("RETURNS", "").strip():
        problems.append("the header does not say what it RETURNS")
    for name, line in (("KEYS", KEY_LINE), ("ARGV", ARGUMENT_LINE)):
        declared, faults = _declared(name, sections.get(name, ""), line)
        problems += faults or _compare(name, declared, _used(name, body))
    return problems


def _declared(name: str, section: str, shape: re.Pattern[str]) -> tuple[Usage, list[str]]:
    """Read the numbered lines of a section; tell what is wrong with them."""
    numbers: list[int] = []
    tail = False
    faults: list[str] = []
    for text in filter(NUMBERED.match, section.splitlines()):
        line = shape.match(text) or TAIL_LINE.match(text)
        if line is None:
            faults.append(f"{name}: this line is not `  N  name  (type)  what`: {text.strip()!r}")
            continue
        if tail:
            faults.append(f"{name}: nothing can follow a tail (N…)")
        numbers.append(int(line[1]))
        tail = tail or line.re is TAIL_LINE
    if numbers != list(range(1, len(numbers) + 1)) and not faults:
        faults.append(f"{name}: the lines are numbered {numbers}")
    return Usage(frozenset(numbers), tail), faults


def _used(name: str, body: str) -> Usage:
    literal = {int(number) for number in re.findall(rf"\b{name}\[(\d+)\]", body)}
    # Whatever else is done with the table: KEYS[i], #ARGV, unpack(ARGV, 3), ipairs(KEYS).
    other = re.search(rf"\b{name}\b(?!\[\d+\])", body)
    return Usage(frozenset(literal), other is not None)


def _compare(name: str, declared: Usage, used: Usage) -> list[str]:
    if used.tail and not declared.tail:
        return [f"{name}: the body computes an index, the header has no tail (N…)"]
    if declared.tail and not used.tail:
        return [f"{name}: the header has a tail (N…), the body never uses one"]
    problems = [
        f"{name}[{number}] is used and not declared"
        for number in sorted(used.numbers - declared.numbers)
    ]
    if not declared.tail:
        problems += [
            f"{name}[{number}] is declared and not used"
            for number in sorted(declared.numbers - used.numbers)
        ]
    return problems


def _without_comments(source: str) -> str:
    without_blocks = re.sub(r"--\[\[.*?\]\]", "", source, flags=re.DOTALL)
    return re.sub(r"--.*", "", without_blocks)
