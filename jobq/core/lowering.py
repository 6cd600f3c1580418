"""The slow way to bytes: any value jobq can send, down to what msgpack packs.

Calls whose arguments are atoms, lists and dicts never come here. What does is lowered value by
value, with bounds; if a value cannot travel, a second walk finds out where it stands.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Final

from msgpack import ExtType

from jobq.core.bounds import MAX_CALL_BYTES, MAX_DEPTH
from jobq.core.extensions import (
    ATOMS,
    ENCODERS,
    FLAT,
    FROZENSET,
    REGISTERED,
    SET,
    TUPLE,
    Unfit,
    encode_odd_str,
)
from jobq.core.hints import hint_for, shown, type_name
from jobq.errors import CallTooLarge, NotEncodable

_LEAVES: Final = tuple(cls for cls in ENCODERS if cls is not int)
_INT64: Final = range(-(1 << 63), 1 << 64)


class TooDeep(Unfit):
    """A value that is nested too deep; where exactly would be a path of 32 steps."""

    def __init__(self) -> None:
        super().__init__(f"It is nested deeper than {MAX_DEPTH} levels, or contains itself.")


@dataclass(frozen=True, slots=True)
class RegisteredType:
    """A type of a user's, with a name that travels.

    Attributes:
        cls: the type.
        name: what stands for it in bytes.
        encode: turns an instance into something that can travel.
        decode: turns that back into an instance.
    """

    cls: type
    name: str
    encode: Callable[..., object]
    decode: Callable[..., object]


class Lowering:
    """Lowers the values of one call.

    Args:
        types: the registered types, by class.
        pack: packs what is lowered, for extensions that contain values.
        canonical: bring dicts and sets into an order that does not depend on how they were made.
    """

    __slots__ = ("_canonical", "_left", "_pack", "_types")

    def __init__(
        self,
        types: Mapping[type, RegisteredType],
        pack: Callable[[object], bytes],
        *,
        canonical: bool = False,
    ) -> None:
        self._canonical = canonical
        self._types = types
        self._pack = pack
        self._left = MAX_CALL_BYTES  # each value takes at least a byte

    def lower(self, value: object, depth: int = 0, *, key: bool = False) -> object:
        """Return a value as atoms, lists, dicts and extensions.

        Args:
            value: anything.
            depth: how many containers are around it.
            key: it must be hashable once it is decoded, as the key of a dict or in a set.

        Raises:
            Unfit: it cannot travel.
            CallTooLarge: it has too many bytes.
        """
        cls = type(value)
        self._spend(1)
        if cls in FLAT:
            return self._flat(cls, value)
        registered = self._registered(cls)
        if registered is not None:
            return self._registered_value(registered, value, depth)
        if isinstance(value, Enum):
            return self.lower(value.value, depth, key=key)
        lowered = self._subclass(value)
        return self._container(value, depth, key=key) if lowered is None else lowered

    def culprit(
        self, value: object, path: str, depth: int = 0, *, key: bool = False
    ) -> tuple[str, object, Unfit] | None:
        """Find what it is in a value that cannot travel.

        Args:
            value: anything.
            path: where it stands.
            depth: how many containers are around it.
            key: it must be hashable.

        Returns:
            The path, the culprit and the reason; None if the value can travel.
        """
        self._left = MAX_CALL_BYTES
        try:
            self.lower(value, depth, key=key)
        except TooDeep as unfit:
            return path, value, unfit
        except Unfit as unfit:
            if key and not isinstance(value, tuple | frozenset | Enum):
                return path, value, unfit
            for step, child, hashable in self._children(value):
                found = self.culprit(child, path + step, depth + 1, key=key or hashable)
                if found is not None:
                    return found
            return path, value, unfit
        return None

    def _flat(self, cls: type, value: object) -> object:
        if isinstance(value, str | bytes):
            return self._text(value)
        if cls in ATOMS and (cls is not int or value in _INT64):
            return value
        return self._leaf(cls, value)

    def _leaf(self, cls: type, value: object) -> ExtType:
        extension = ENCODERS[cls](value)
        self._spend(len(extension.data))
        return extension

    def _subclass(self, value: object) -> object:
        """Return what a subclass of an atom or a leaf is at heart; None: it is none."""
        match value:
            case str():
                return self._text(str.__str__(value))
            case bytes() | bytearray() | memoryview():
                return self._text(bytes(value))
            case float():
                return float.__float__(value)
            case int():
                return self.lower(int.__int__(value))
        for base in _LEAVES:
            if isinstance(value, base):
                if value != value:  # noqa: PLR0124  NaT, the "not a time" of pandas
                    raise Unfit("It is not a time.")
                return self._leaf(base, value)
        return None

    def _container(self, value: object, depth: int, *, key: bool) -> object:
        if isinstance(value, tuple):
            return self._items(TUPLE, value, depth, key=key)
        if isinstance(value, frozenset):
            return self._items(FROZENSET, value, depth, key=True)
        inside = value if isinstance(value, list | dict | set) else _record(value)
        if inside is None:
            raise Unfit(hint_for(value))
        if key:
            raise Unfit("In a set or as the key of a dict, it could not be decoded. Use a list.")
        if depth >= MAX_DEPTH:
            raise TooDeep
        if isinstance(inside, list):
            return [self.lower(item, depth + 1) for item in inside]
        if isinstance(inside, set):
            return self._items(SET, inside, depth, key=True)
        if isinstance(inside, dict):
            return self._mapping(inside, depth)
        return self.lower(inside, depth + 1)  # a pydantic model that is no dict inside

    def _items(self, code: int, items: Iterable[object], depth: int, *, key: bool) -> ExtType:
        if depth >= MAX_DEPTH:
            raise TooDeep
        lowered = [self.lower(item, depth + 1, key=key) for item in items]
        if self._canonical and code != TUPLE:
            lowered.sort(key=self._pack)
        return ExtType(code, self._pack(lowered))

    def _mapping(self, value: Mapping[object, object], depth: int) -> object:
        lowered = {
            self.lower(name, depth + 1, key=True): self.lower(item, depth + 1)
            for name, item in value.items()
        }
        if len(lowered) != len(value):
            raise Unfit("Two of its keys become the same.")
        if self._canonical:
            return dict(sorted(lowered.items(), key=lambda pair: self._pack(pair[0])))
        return lowered

    def _registered(self, cls: type) -> RegisteredType | None:
        types = self._types
        if not types:
            return None
        return next((types[base] for base in cls.__mro__ if base in types), None)

    def _registered_value(self, registered: RegisteredType, value: object, depth: int) -> ExtType:
        if depth >= MAX_DEPTH:
            raise TooDeep
        name = registered.name
        try:
            plain = registered.encode(value)
        except Exception as error:  # user code
            raise Unfit(f"The encoder of {name!r} raised {_said(error)}.") from error
        try:
            lowered = [name, self.lower(plain, depth + 1)]
        except TooDeep:
            raise
        except Unfit as unfit:
            made = type_name(plain)
            raise Unfit(f"The encoder of {name!r} made a {made} of it. {unfit}") from None
        return ExtType(REGISTERED, self._pack(lowered))

    def _children(self, value: object) -> Iterator[tuple[str, object, bool]]:
        """Yield the values inside a value: path, value, and whether it must be hashable."""
        if self._registered(type(value)) is not None:
            return
        if isinstance(value, Enum):
            yield ".value", value.value, False
        elif isinstance(value, list | tuple):
            yield from ((f"[{index}]", item, False) for index, item in enumerate(value))
        elif isinstance(value, set | frozenset):
            yield from ((f"{{{shown(item, 40)}}}", item, True) for item in value)
        elif isinstance(value, dict):
            yield from ((f", key {shown(name, 40)},", name, True) for name in value)
            yield from ((f"[{shown(name, 40)}]", item, False) for name, item in value.items())
        else:
            with suppress(Unfit):
                record = _record(value)
                inside = record.items() if isinstance(record, dict) else ()
                yield from ((f".{name}", item, False) for name, item in inside)

    def _text(self, value: str | bytes) -> object:
        self._spend(len(value))
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                return encode_odd_str(value)
        return value

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise too_large()


def too_large(what: str = "the call") -> CallTooLarge:
    """Return the error for too many bytes.

    Args:
        what: what has them.
    """
    return CallTooLarge(
        f"{what} has more than {MAX_CALL_BYTES // 1024} KiB. Keep the data somewhere else, and "
        "send where it is."
    )


def refuse(lowering: Lowering, value: object, path: str, unfit: Unfit) -> NotEncodable:
    """Return the error for a value that cannot travel, with the place of the culprit in it.

    Args:
        lowering: that raised it.
        value: the value as a whole.
        path: where it stands, such as ``argument 'to'``.
        unfit: why it cannot travel; used where the culprit hides (it changed meanwhile).
    """
    where, culprit, reason = lowering.culprit(value, path) or (path, value, unfit)
    return NotEncodable(where, type_name(culprit), str(reason))


def lowered(lowering: Lowering, value: object, where: str | Callable[[], str]) -> object:
    """Lower a value, or raise the error for what in it cannot travel.

    Args:
        lowering: does it.
        value: anything.
        where: where it stands, such as ``the result``; or what makes that, where it is needed.

    Raises:
        NotEncodable: it cannot travel.
        CallTooLarge: it has too many bytes.
    """
    try:
        return lowering.lower(value)
    except Unfit as unfit:
        path = where if isinstance(where, str) else where()
        raise refuse(lowering, value, path, unfit) from unfit.__cause__


def place_of(name: str, key: int | str, describe: Callable[[int | str], str] | None) -> str:
    """Return where an argument stands: ``send_email(to=…): argument 'to'``."""
    if describe is not None:
        key = describe(key)
    if isinstance(key, int):
        return f"{name}(): argument {key + 1}"
    return f"{name}({key}=…): argument {key!r}"


def _record(value: object) -> object:
    """Return what a pydantic model or a dataclass has inside; None: it is neither."""
    cls = type(value)
    try:
        if callable(getattr(cls, "model_dump", None)):
            return _dumped(value)
        if is_dataclass(cls):
            return {field.name: getattr(value, field.name) for field in fields(cls)}
    except Exception as error:
        raise Unfit(f"Looking into it raised {_said(error)}.") from error
    return None


def _dumped(model: object) -> object:
    dump: Callable[..., object] = getattr(model, "model_dump")  # noqa: B009
    try:
        # round_trip leaves out computed fields, which a model may refuse to be given.
        return dump(mode="python", round_trip=True)
    except TypeError:  # a model of another library, which does not know that
        return dump(mode="python")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
