"""The typed extensions of msgpack that jobq uses: one code for each type, fixed for ever.

====  ==============  ===========================================================
code  type            data
====  ==============  ===========================================================
1     tuple           msgpack array
2     set             msgpack array
3     frozenset       msgpack array
4     int             beyond 64 bits: two's complement, big-endian, 1 to 4096 bytes
5     str             with lone surrogates: UTF-8, surrogates encoded alike
6     datetime        ISO 8601; an offset or ``[zone]`` if aware; ``/1`` if fold is 1
7     date            ISO 8601
8     time            like datetime
9     timedelta       days, seconds, microseconds: three big-endian int32
10    UUID            16 bytes
11    Decimal         its ASCII text, at most 4096 characters
12    Path            ``c`` Path, ``p`` PurePosixPath or ``w`` PureWindowsPath, then UTF-8
13    registered      msgpack array ``[name, plain data]``
====  ==============  ===========================================================

Code -1, the timestamp of msgpack itself, is read as an aware datetime in UTC, for producers in
other languages. A new code may be added; an old one never changes its meaning.
"""

import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgpack import ExtType

from jobq.errors import CallTooNew, CallUnreadable

TUPLE: Final = 1
SET: Final = 2
FROZENSET: Final = 3
BIG_INT: Final = 4
ODD_STR: Final = 5
DATETIME: Final = 6
DATE: Final = 7
TIME: Final = 8
TIMEDELTA: Final = 9
UUID_: Final = 10
DECIMAL: Final = 11
PATH: Final = 12
REGISTERED: Final = 13

#: Codes that a later release of jobq may use; those above are nobody's.
LAST_RESERVED: Final = 63

#: Bytes of an int, and characters of a Decimal: more than cryptography needs, and few enough
#: that showing one in decimal costs no time.
MAX_NUMBER_BYTES: Final = 4096

_TIMEDELTA: Final = struct.Struct(">iii")


class Unfit(Exception):
    """A value that cannot travel; the text is the hint for the user."""


def not_here(what: str) -> CallTooNew:
    """Return the error for what another worker may know: the call waits, it is not buried.

    Args:
        what: what is not known here, as a sentence.
    """
    error = CallTooNew(1)
    error.args = (what,)  # the format is not too new; something in it is
    return error


def encode_odd_str(value: str) -> ExtType:
    """Encode a str with lone surrogates, such as the name of a file that is not UTF-8."""
    return ExtType(ODD_STR, value.encode("utf-8", "surrogatepass"))


def _big_int(value: int) -> ExtType:
    if value.bit_length() >= 8 * MAX_NUMBER_BYTES:
        raise Unfit(f"It has more than {MAX_NUMBER_BYTES} bytes; send it as bytes or hex text.")
    return ExtType(BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _datetime(value: datetime) -> ExtType:
    return ExtType(DATETIME, _moment(datetime.isoformat(value), value, value.utcoffset()))


def _time(value: time) -> ExtType:
    return ExtType(TIME, _moment(time.isoformat(value), value, value.utcoffset()))


def _moment(iso: str, value: datetime | time, offset: timedelta | None) -> bytes:
    zone: tzinfo | None = value.tzinfo
    if zone is not None:
        key: object = getattr(zone, "key", None)
        if isinstance(zone, ZoneInfo) and isinstance(key, str):
            iso = f"{_without_offset(value)}[{key}]"
        elif offset is None:
            raise Unfit("Its tzinfo gives no offset; use a zoneinfo.ZoneInfo.")
        elif offset.microseconds:  # fromisoformat() of CPython loses those below a second
            raise Unfit("Its offset from UTC is not of whole seconds; use a zoneinfo.ZoneInfo.")
    return (f"{iso}/1" if value.fold else iso).encode()


def _without_offset(value: datetime | time) -> str:
    if isinstance(value, datetime):
        return datetime.isoformat(datetime.replace(value, tzinfo=None))
    return time.isoformat(time.replace(value, tzinfo=None))


def _date(value: date) -> ExtType:
    return ExtType(DATE, date.isoformat(value).encode())


def _timedelta(value: timedelta) -> ExtType:
    return ExtType(TIMEDELTA, _TIMEDELTA.pack(value.days, value.seconds, value.microseconds))


def _uuid(value: UUID) -> ExtType:
    return ExtType(UUID_, value.bytes)


def _decimal(value: Decimal) -> ExtType:
    text = Decimal.__str__(value).encode()
    if len(text) > MAX_NUMBER_BYTES:
        raise Unfit(f"It has more than {MAX_NUMBER_BYTES} characters; send it as text.")
    return ExtType(DECIMAL, text)


def _path(value: PurePath) -> ExtType:
    if isinstance(value, Path):
        text = "c" + value.as_posix()
    else:
        text = ("p" if isinstance(value, PurePosixPath) else "w") + str(value)
    return ExtType(PATH, text.encode("utf-8", "surrogatepass"))


#: What each type becomes; looked up by the exact type. An int comes here only if it is big.
ENCODERS: Final = cast(  # each is called only with the type that it stands beside
    "Mapping[type, Callable[[object], ExtType]]",
    {
        int: _big_int,
        datetime: _datetime,
        date: _date,
        time: _time,
        timedelta: _timedelta,
        UUID: _uuid,
        Decimal: _decimal,
        type(Path()): _path,
        PurePosixPath: _path,
        PureWindowsPath: _path,
    },
)


def _read_big_int(data: bytes) -> int:
    if not 1 <= len(data) <= MAX_NUMBER_BYTES:
        raise ValueError(f"an int of {len(data)} bytes")
    return int.from_bytes(data, "big", signed=True)


def _read_odd_str(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _split_moment(data: bytes) -> tuple[str, ZoneInfo | None, int]:
    text = data.decode("ascii")
    fold = int(text.endswith("/1"))
    text = text[: -2 * fold or None]
    if not text.endswith("]"):
        return text, None, fold
    iso, _, key = text[:-1].partition("[")
    return iso, _zone(key), fold


def _zone(key: str) -> ZoneInfo:
    try:
        return ZoneInfo(key)
    except ZoneInfoNotFoundError:
        raise not_here(
            f"the time zone {key[:80]!r} is not known on this machine; "
            "install the package tzdata here"
        ) from None


def _read_datetime(data: bytes) -> datetime:
    iso, zone, fold = _split_moment(data)
    value = datetime.fromisoformat(iso)
    if zone is not None:
        if value.tzinfo is not None:
            raise ValueError("a datetime with an offset and a zone")
        value = value.replace(tzinfo=zone)
    return value.replace(fold=fold) if fold else value


def _read_time(data: bytes) -> time:
    iso, zone, fold = _split_moment(data)
    value = time.fromisoformat(iso)
    if zone is not None:
        if value.tzinfo is not None:
            raise ValueError("a time with an offset and a zone")
        value = value.replace(tzinfo=zone)
    return value.replace(fold=fold) if fold else value


def _read_date(data: bytes) -> date:
    return date.fromisoformat(data.decode("ascii"))


def _read_timedelta(data: bytes) -> timedelta:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


def _read_uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def _read_decimal(data: bytes) -> Decimal:
    if len(data) > MAX_NUMBER_BYTES:
        raise ValueError(f"a Decimal of {len(data)} characters")
    return Decimal(data.decode("ascii"))


def _read_path(data: bytes) -> PurePath:
    text = data[1:].decode("utf-8", "surrogatepass")
    return _PATHS[data[:1]](text)


_PATHS: Final[Mapping[bytes, type[PurePath]]] = {
    b"c": Path,
    b"p": PurePosixPath,
    b"w": PureWindowsPath,
}
_DECODERS: Final[Mapping[int, Callable[[bytes], object]]] = {
    BIG_INT: _read_big_int,
    ODD_STR: _read_odd_str,
    DATETIME: _read_datetime,
    DATE: _read_date,
    TIME: _read_time,
    TIMEDELTA: _read_timedelta,
    UUID_: _read_uuid,
    DECIMAL: _read_decimal,
    PATH: _read_path,
}


def decode_leaf(code: int, data: bytes) -> object:
    """Decode an extension that contains no other values.

    Raises:
        CallUnreadable: the data is garbage, or nobody's code.
        CallTooNew: a code of a later release, or a time zone that is not known here.
    """
    decoder = _DECODERS.get(code)
    if decoder is None:
        if 0 < code <= LAST_RESERVED:
            raise not_here(f"extension type {code} is of a newer release of jobq")
        raise CallUnreadable(f"extension type {code} is not one of jobq's")
    try:
        return decoder(data)
    except (CallUnreadable, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  constructors raise many kinds over garbage
        raise CallUnreadable(f"garbage in extension type {code}: {error}") from None


#: Types that msgpack packs as they are.
ATOMS: Final = frozenset((type(None), bool, int, float, str, bytes))
#: Types that contain no values: nothing below them needs to be looked at.
FLAT: Final = ATOMS | frozenset(ENCODERS)
#: Types that come out of bytes and contain values.
CONTAINERS: Final = frozenset((list, dict, tuple, set, frozenset))
