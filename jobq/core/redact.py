"""Takes sensitive values out of what is shown and kept: error texts, tracebacks, raw calls."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import msgpack

from jobq.core.bounds import MAX_DEPTH, SCAN_FROM, scan
from jobq.core.extensions import FROZENSET, REGISTERED, SET, TUPLE, decode_leaf
from jobq.core.marks import HEADER, WORD, Marked

#: Characters. Shorter values are parts of other words, and no secrets.
_LEAST: Final = 4
#: A value that was cut somewhere is known by so many of its first characters.
_PROBE: Final = 12
#: Values times characters that are searched; beyond, the whole text is dropped.
_MOST_WORK: Final = 50_000_000
#: Bits. Python refuses to write greater numbers in decimal.
_DECIMAL_BITS: Final = 12_000

_NESTED: Final = frozenset((TUPLE, SET, FROZENSET, REGISTERED))


class Redactor:
    """Takes sensitive values out of texts.

    Values are found as they are, and as repr(), JSON and a URL write them, whole or cut off; what a
    program made of them otherwise (hashed, encoded, upper case) is not.

    Args:
        values: what is sensitive, as it travelled; lists, dicts and so on are looked into.
    """

    __slots__ = ("_numbers", "_texts")

    def __init__(self, values: Iterable[object]) -> None:
        texts: set[str] = set()
        numbers: set[str] = set()
        for leaf in _leaves(values):
            if isinstance(leaf, int):
                numbers.add(str(leaf) if leaf.bit_length() < _DECIMAL_BITS else hex(leaf))
            else:
                texts.update(_forms(leaf))
        found = (one for one in texts if len(one) >= _LEAST and one not in WORD)
        #: The longest first: one may be a part of another.
        self._texts = sorted(found, key=len, reverse=True)
        self._numbers = [one for one in numbers if len(one) >= _LEAST]

    def text(self, text: str) -> str:
        """Return a text without the values."""
        if (len(self._texts) + len(self._numbers)) * len(text) > _MOST_WORK:
            return WORD
        for secret in self._texts:
            text = text.replace(secret, WORD)
        for secret in self._texts:
            if len(secret) > _PROBE:
                text = _without_parts(text, secret)
        for number in self._numbers:
            text = re.sub(rf"(?<![\w.]){re.escape(number)}(?![\w.]*\w)", WORD, text)
        return text


def secrets_in(blob: bytes, marks: Sequence[object] = ()) -> list[object]:
    """Return the sensitive values of a call, whose types may not be known here.

    Args:
        blob: the call, or garbage: there are none in it.
        marks: what is sensitive beyond what the call itself says.
    """
    parts = _parts(blob)
    if parts is None:
        return []
    args, kwargs, headers = parts
    values = Marked(marks).secrets(args, kwargs) if marks else []
    return values + (Marked(headers[HEADER]).secrets(args, kwargs) if HEADER in headers else [])


def stub(blob: bytes) -> bytes:
    """Return what may be shown, or kept, of a call that cannot be decoded.

    A call without sensitive arguments comes back as it is; of others, version and name do.
    """
    parts = _parts(blob)
    if parts is None or HEADER not in parts[2]:
        return blob
    unpacker = msgpack.Unpacker(max_buffer_size=len(blob))
    unpacker.feed(blob)
    unpacker.read_array_header()
    version, name = unpacker.unpack(), unpacker.unpack()
    return bytes(msgpack.packb([version, name, WORD]))


def _parts(blob: bytes) -> tuple[list[object], dict[str, object], dict[str, object]] | None:
    try:
        if len(blob) > SCAN_FROM:
            scan(blob)
        found: object = msgpack.unpackb(blob, ext_hook=_HOOKS[0], strict_map_key=False)
    except Exception:  # noqa: BLE001  msgpack raises many kinds over garbage
        return None
    match found:
        case [int(), str(), list(args), None | dict() as kwargs, dict(headers)]:
            return args, kwargs or {}, headers
        case [int(), str(), list(args), None | dict() as kwargs, None]:
            return args, kwargs or {}, {}
    return None


def _extension(level: int, code: int, data: bytes) -> object:
    """Return what is in an extension; types of users stay plain data."""
    try:
        if code not in _NESTED:
            return decode_leaf(code, data)
        if len(data) > SCAN_FROM:
            scan(data)
        if level < MAX_DEPTH:
            found: object = msgpack.unpackb(data, ext_hook=_HOOKS[level + 1], strict_map_key=False)
            return found
    except Exception:  # noqa: BLE001, S110  garbage: its bytes are looked for
        pass
    return data


_HOOKS: Final = [partial(_extension, level) for level in range(MAX_DEPTH + 1)]


def _leaves(values: Iterable[object]) -> Iterator[object]:
    """Yield what is in containers, level by level; None and bools say nothing."""
    level = list(values)
    while level:
        below: list[object] = []
        for value in level:
            if isinstance(value, Mapping):
                below += value.values()
            elif isinstance(value, list | tuple | set | frozenset):
                below += value
            elif value is not None and not isinstance(value, bool):
                yield value
        level = below


def _forms(leaf: object) -> Iterator[str]:
    if isinstance(leaf, bytes):
        yield repr(leaf)[2:-1]
        yield leaf.hex()
        leaf = leaf.decode("utf-8", "backslashreplace")
    text = str(leaf)
    yield text
    yield repr(text)[1:-1]
    yield repr(text.encode("utf-8", "surrogatepass"))[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, safe="", errors="backslashreplace")


def _without_parts(text: str, secret: str) -> str:
    """Take out where a value begins and was cut off."""
    probe = secret[:_PROBE]
    pieces: list[str] = []
    done, at = 0, text.find(probe)
    while at >= 0:
        end = at + _PROBE
        while end < len(text) and end - at < len(secret) and text[end] == secret[end - at]:
            end += 1
        pieces += (text[done:at], WORD)
        done, at = end, text.find(probe, end)
    return "".join((*pieces, text[done:]))
