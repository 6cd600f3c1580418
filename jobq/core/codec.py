"""Calls and results to bytes and back, with bounds on what is believed.

A call is the msgpack array ``[1, name, args, kwargs, headers]``; kwargs and headers are nil when
empty. The id of the job is not in it. Types beyond those of msgpack are extensions, see
`jobq.core.extensions`; a result is one value, without an envelope of its own.

Guarantees:
    * What `Codec.encode_call` accepts, `Codec.decode_call` gives back, equal and of the same
      types; but Enum, dataclass, named tuple and pydantic model arrive as plain data (the
      function's annotations rebuild them), as do subclasses of str, int, list and so on.
    * `Codec.decode_call` raises `CallUnreadable` or `CallTooNew` for other bytes, whatever they
      are, and takes time and memory in proportion to their number.
    * Floats keep nan and the infinities; strings keep lone surrogates.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgpack

from jobq.core.bounds import (
    MAX_CALL_BYTES,
    MAX_DEPTH,
    SCAN_FROM,
    check_depth,
    is_plain,
    peek,
    scan,
)
from jobq.core.extensions import (
    CONTAINERS,
    ENCODERS,
    FLAT,
    FROZENSET,
    REGISTERED,
    SET,
    TUPLE,
    Unfit,
    decode_leaf,
    not_here,
)
from jobq.core.hints import shown
from jobq.core.lowering import Lowering, RegisteredType, lowered, place_of, too_large
from jobq.errors import CallTooNew, CallUnreadable, ConfigError, NotEncodable

__all__ = ["FORMAT", "MAX_CALL_BYTES", "MAX_DEPTH", "Codec", "DecodedCall"]

#: The version of the format of a call.
FORMAT: Final = 1
#: A greater version than that is garbage rather than a release to come.
_LAST_FORMAT: Final = 127

_T = TypeVar("_T")
_Mapping = Mapping[str, object]
_Parts = tuple[str, list[object], dict[str, object], dict[str, object]]
_Describe = Callable[[int | str], str]


class DecodedCall(NamedTuple):
    """A call out of bytes.

    Attributes:
        name: the name of the job function.
        args: positional arguments; not yet rebuilt from annotations.
        kwargs: keyword arguments.
        headers: the options of this call, see `jobq.core.options`.
    """

    name: str
    args: list[object]
    kwargs: dict[str, object]
    headers: dict[str, object]


class Codec:
    """Encodes and decodes; one for each app, since it holds the app's registered types."""

    __slots__ = ("_by_class", "_by_name", "_hook", "_hooks", "_packers")

    def __init__(self) -> None:
        self._by_class: dict[type, RegisteredType] = {}
        self._by_name: dict[str, RegisteredType] = {}
        # Packers to reuse: a new one costs more than packing a call. Each is in one hand at a
        # time, since pop and append of a list are atomic, and a failed one is not put back.
        self._packers: list[Callable[[object], bytes]] = []
        #: One for each level of extensions within extensions: so their depth is known.
        self._hooks = [partial(self._extension, level) for level in range(MAX_DEPTH + 1)]
        self._hook = self._hooks[0]

    def encode_call(
        self,
        name: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, object] | None = None,
        describe: _Describe | None = None,
    ) -> bytes:
        """Return a call as bytes.

        Args:
            name: the name of the job function.
            args: positional arguments.
            kwargs: keyword arguments.
            headers: options that travel; atoms, lists and dicts.
            describe: gives the name of the parameter that takes the argument of an index or
                a keyword, for errors.

        Raises:
            NotEncodable: an argument cannot travel; names it.
            CallTooLarge: there are more than `MAX_CALL_BYTES` bytes.
        """
        plain = type(kwargs) is dict
        for value in args:
            plain = plain and type(value) in FLAT
        for value in kwargs.values():
            plain = plain and type(value) in FLAT
        if plain or is_plain(args, kwargs):
            try:
                # strict_types packs exact types only, and a tuple is not a list
                blob = self._pack([FORMAT, name, [*args], kwargs or None, headers or None])
            except _SLOW:
                pass  # the slow way can do the one, and tells where the other stands
            else:
                if len(blob) > MAX_CALL_BYTES:
                    raise too_large(f"the call of {name}")
                return blob
        return self._encode_slowly(name, args, kwargs, headers, describe)

    def encode_sure(
        self, name: str, args: Sequence[object], kwargs: _Mapping, headers: _Mapping | None
    ) -> bytes:
        """Do what `encode_call` does for what `jobq.core.bounds.is_sure` is sure of."""
        return self._pack([FORMAT, name, [*args], kwargs or None, headers or None])

    def decode_call(self, blob: bytes) -> DecodedCall:
        """Read what `encode_call` wrote.

        Raises:
            CallUnreadable: the bytes are not a call.
            CallTooNew: the call is in a newer format, or has a type that is not known here.
        """
        return DecodedCall(*self.unpack_call(blob))

    def unpack_call(self, blob: bytes) -> _Parts:
        """Read a call into a bare tuple: name, args, kwargs, headers. See `decode_call`."""
        try:
            if len(blob) > SCAN_FROM:
                scan(blob)
            version, name, args, kwargs, headers = _unpackb(
                blob, strict_map_key=False, timestamp=3, ext_hook=self._hook
            )
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  msgpack raises many kinds over garbage
            raise _reason(blob, error) from error.__cause__
        if (
            version != FORMAT
            or type(version) is not int
            or type(name) is not str
            or type(args) is not list
            or not name
        ):
            raise _reason(blob, "its version, name or arguments are of the wrong kind")
        for value in args:
            if type(value) in CONTAINERS:
                check_depth((value,))
        kwargs = {} if kwargs is None else _named(kwargs)
        headers = {} if headers is None else _named(headers)
        return name, args, kwargs, headers

    def encode_value(self, value: object, what: str = "the result") -> bytes:
        """Return one value as bytes.

        Args:
            value: anything that can travel.
            what: what it is, for errors.

        Raises:
            NotEncodable: it cannot travel.
            CallTooLarge: there are more than `MAX_CALL_BYTES` bytes.
        """
        if value is None:
            return b"\xc0"
        try:
            plain = type(value) in FLAT or is_plain((value,), {})
            blob = self._pack(value) if plain else None
        except _SLOW:
            blob = None
        if blob is None:
            blob = self._pack(lowered(Lowering(self._by_class, self._pack), value, what))
        if len(blob) > MAX_CALL_BYTES:
            raise too_large(what)
        return blob

    def encode_canonical(self, value: object, what: str) -> bytes:
        """Return one value as bytes that equal values share, whatever the order of their parts.

        Args:
            value: anything that can travel.
            what: what it is, for errors.

        Raises:
            NotEncodable: it cannot travel.
            CallTooLarge: it has too many bytes.
        """
        lowering = Lowering(self._by_class, self._pack, canonical=True)
        return self._pack(lowered(lowering, value, what))

    def decode_value(self, blob: bytes) -> object:
        """Read what `encode_value` wrote.

        Raises:
            CallUnreadable: the bytes are not a value.
            CallTooNew: it has a type that is not known here.
        """
        try:
            if len(blob) > SCAN_FROM:
                scan(blob)
            value: object = _unpackb(blob, strict_map_key=False, timestamp=3, ext_hook=self._hook)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  as in decode_call
            raise _unreadable(error) from error.__cause__
        if type(value) in CONTAINERS:
            check_depth((value,))
        return value

    def register_type(
        self,
        cls: type[_T],
        *,
        name: str,
        encode: Callable[[_T], object],
        decode: Callable[[Any], _T],
    ) -> None:
        """Teach the codec a type; its subclasses are encoded in the same way.

        Args:
            cls: the type.
            name: what stands for it in bytes; keep it when the class moves.
            encode: turns an instance into something that can travel.
            decode: turns that back into an instance, on the other side.

        Raises:
            ConfigError: jobq sends the type already, or the name or the type is taken.
        """
        known_types: frozenset[object] = FLAT | CONTAINERS | {object}
        if not isinstance(cls, type) or cls in known_types:
            raise ConfigError(f"register_type: {shown(cls)} is not a type that can be registered")
        if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 200:
            raise ConfigError(f"register_type: name is {shown(name)}; use a short, printable str")
        known, taken = self._by_class.get(cls), self._by_name.get(name)
        if taken is not None and taken.cls is not cls:
            raise ConfigError(f"register_type: {name!r} is taken by {taken.cls.__qualname__}")
        if known is not None and known.name != name:
            raise ConfigError(f"register_type: {cls.__qualname__} is {known.name!r} already")
        registered = RegisteredType(cls, name, encode, decode)
        self._by_class[cls] = registered
        self._by_name[name] = registered

    def peek_name(self, blob: bytes) -> str | None:
        """Return the name of a job whose arguments cannot be decoded; None: not to be had."""
        return peek(blob)[1]

    def _encode_slowly(
        self,
        name: str,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        headers: Mapping[str, object] | None,
        describe: _Describe | None,
    ) -> bytes:
        lowering = Lowering(self._by_class, self._pack)
        lowered_args: list[object] = []
        for index, value in enumerate(args):
            where = partial(place_of, name, index, describe)
            lowered_args.append(lowered(lowering, value, where))
        lowered_kwargs: dict[str, object] = {}
        for key, value in kwargs.items():
            if not isinstance(key, str):
                raise NotEncodable(f"{name}(): the name of an argument", type(key).__name__, _NAMES)
            where = partial(place_of, name, key, describe)
            lowered_kwargs[str(key)] = lowered(lowering, value, where)
        plain_headers = lowered(lowering, dict(headers or {}), f"{name}(): an option")
        try:
            blob = self._pack(
                [FORMAT, str(name), lowered_args, lowered_kwargs or None, plain_headers or None]
            )
        except UnicodeEncodeError:
            raise NotEncodable(f"{name!a}(): its name", "str", _NAMES) from None
        if len(blob) > MAX_CALL_BYTES:
            raise too_large(f"the call of {name}")
        return blob

    def _pack(self, value: object) -> bytes:
        packers = self._packers
        try:
            pack = packers.pop()
        except IndexError:
            pack = msgpack.Packer(strict_types=True, default=self._encode_extension).pack
        blob = pack(value)
        if len(blob) <= MAX_CALL_BYTES:  # else its buffer has grown too big to be kept
            packers.append(pack)
        return blob

    def _encode_extension(self, value: object) -> msgpack.ExtType:
        """Encode what msgpack hands back: leaves, and the containers that `_below` let pass."""
        code = _CODES.get(type(value))
        if code is None:
            return ENCODERS[type(value)](value)
        items: Iterable[object] = value  # type: ignore[assignment]
        return msgpack.ExtType(code, self._pack([*items]))

    def _extension(self, level: int, code: int, data: bytes) -> object:
        """Decode an extension inside of `level` others."""
        if code in _WITH_VALUES:
            items = self._unpack_inside(level, data)
            if type(items) is not list:
                raise CallUnreadable(f"extension type {code} without items")
            if code == TUPLE:
                return tuple(items)
            return set(items) if code == SET else frozenset(items)
        if code == REGISTERED:
            return self._decode_registered(self._unpack_inside(level, data))
        return decode_leaf(code, data)

    def _unpack_inside(self, level: int, data: bytes) -> Any:
        if level >= MAX_DEPTH:
            raise CallUnreadable(f"nested deeper than {MAX_DEPTH} levels")
        if len(data) > SCAN_FROM:
            scan(data)
        # Not unpackb: its 40 KiB on the C stack, 32 times, are more than some threads have.
        unpacker = msgpack.Unpacker(
            read_size=len(data) or 1,
            strict_map_key=False,
            timestamp=3,
            ext_hook=self._hooks[level + 1],
            max_buffer_size=len(data) or 1,
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise CallUnreadable("an extension with something behind its value")
        return value

    def _decode_registered(self, data: object) -> object:
        match data:
            case [str(name), plain]:
                registered = self._by_name.get(name)
                if registered is None:
                    raise not_here(
                        f"the type {name[:200]!r} is not registered here; "
                        "register it with app.register_type()"
                    )
                check_depth((plain,), MAX_DEPTH - 1)
                try:
                    return registered.decode(plain)
                except Exception as error:  # user code
                    text = f"{type(error).__name__}: {error}"
                    raise CallUnreadable(f"the decoder of {name!r} raised {text}") from error
        raise CallUnreadable("a registered type without a name")


#: What packing raises over values that the slow way can send, or can tell the place of.
_SLOW: Final = (ValueError, TypeError, LookupError, OverflowError, Unfit)
_unpackb: Final = msgpack.unpackb
_CODES: Final[Mapping[type, int]] = {tuple: TUPLE, set: SET, frozenset: FROZENSET}
_WITH_VALUES: Final = frozenset(_CODES.values())
_NAMES: Final = "Names are printable str."


def _named(values: object) -> dict[str, object]:
    """Check what a call has by name: its keyword arguments, or its headers."""
    if type(values) is dict:
        for name, value in values.items():
            if type(name) is not str:
                break
            if type(value) in CONTAINERS:
                check_depth((value,))
        else:
            return values
    raise CallUnreadable("its keyword arguments or options are of the wrong kind")


def _reason(blob: bytes, error: object) -> CallUnreadable:
    """Return the error for a blob that is not a call of this format."""
    version, _ = peek(blob)
    if version is not None and FORMAT < version <= _LAST_FORMAT:
        return CallTooNew(version)
    return _unreadable(error)


def _unreadable(error: object) -> CallUnreadable:
    if isinstance(error, CallUnreadable):
        return error
    return CallUnreadable(f"not a call: {str(error)[:200] or type(error).__name__}")
