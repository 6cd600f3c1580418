"""Bytes that are nearly good: what a decoder meets when a line, a disk or a stranger errs."""

import random
from collections.abc import Iterator


def mutants(good: bytes, many: int, seed: int = 7) -> Iterator[bytes]:
    """Make bytes that are nearly good: flipped, cut, swapped, doubled, with other headers."""
    dice = random.Random(seed)  # noqa: S311  the same in each run
    odd = [b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
    odd += [
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xa3\xed\xa0\x80",
    ]  # a surrogate
    odd += [b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\x00" * 7, b"\xcb\x7f\xf0" + b"\x00" * 6]
    odd += [bytes((0xD4, code, 1)) for code in (0, 1, 4, 5, 6, 13, 14, 63, 64, 127, 128, 255)]
    odd += [b"\x91" * 40, b"\x81\xc0" * 40, b"\xd9\x00", b"\xc7\x00\x01", b"\x00" * 9, b"\xff" * 9]
    for _ in range(many):
        blob = bytearray(good)
        for _ in range(dice.choice([1, 1, 2, 5])):
            at = dice.randrange(len(blob) + 1)
            match dice.randrange(6):
                case 0 if at < len(blob):
                    blob[at] ^= 1 << dice.randrange(8)
                case 1 if at < len(blob):
                    blob[at] = dice.randrange(256)
                case 2:
                    del blob[at:]
                case 3:
                    blob[at:at] = dice.choice(odd)
                case 4:
                    blob[at : at + 3] = dice.choice(odd)
                case _:
                    blob[at:at] = blob[dice.randrange(len(blob) + 1) :][:20]
        yield bytes(blob)
