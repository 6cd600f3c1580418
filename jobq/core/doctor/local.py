"""What a doctor thinks of this machine: the libraries, and the embedded server's directory."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from jobq.core.doctor.finding import Finding

#: By library: the oldest release that works, and the first that is not known to.
LIBRARIES: Final[Mapping[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "redis": ((7, 0), (9, 0)),
    "hiredis": ((3, 0), (4, 0)),
    "msgpack": ((1, 0), (2, 0)),
}

#: Bytes of free disk that are a warning, and bad.
LITTLE: Final = (1 << 30, 100 << 20)

#: File systems on which kernel locks are not to be trusted between hosts.
NETWORK: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "glusterfs")
)

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The directory of the embedded server.

    Attributes:
        path: where it is.
        exists: it is there.
        ours: it belongs to this user.
        open: others may look into it.
        writable: this user may write there.
        free: bytes of free disk.
        system: its file system; empty: not known.
        problem: why no server can be started; empty: one can.
    """

    path: str
    exists: bool
    ours: bool = True
    open: bool = False
    writable: bool = True
    free: int = 1 << 40
    system: str = ""
    problem: str = ""


def libraries(installed: Mapping[str, str]) -> Iterator[Finding]:
    """Judge the releases of the libraries that jobq is made with.

    Args:
        installed: by library, its version; empty: it is not installed.
    """
    told, right = [], True
    for name, (least, first_bad) in LIBRARIES.items():
        text = installed.get(name, "")
        told.append(f"{name} {text[:40]}")
        found = _VERSION.match(text)
        known = (int(found[1]), int(found[2])) if found else (0, 0)
        right = right and least <= known < first_bad
        wanted = f"{name}>={least[0]}.{least[1]},<{first_bad[0]}"
        if known < least:
            what = f"{name} {text[:40] or 'is not installed'}: too old for jobq"
            yield Finding("libraries", "bad", what, f"pip install '{wanted}'")
        elif known >= first_bad:
            what = f"{name} {text[:40]}: newer than jobq was tested with"
            yield Finding("libraries", "warning", what, f"pip install '{wanted}'")
    if right:
        yield Finding("libraries", "ok", ", ".join(told))


def home(found: Home) -> Iterator[Finding]:
    """Judge the directory of the embedded server, and whether it can be started."""
    faults = list(_faults(found))
    yield from faults
    if not faults:
        what = found.path if found.exists else f"{found.path}, which is made at the first use"
        yield Finding("embedded", "ok", what)


def _faults(found: Home) -> Iterator[Finding]:
    path = found.path
    if found.problem:
        yield Finding("embedded", "bad", found.problem, "pip install 'jobq[embedded]'")
    if not found.exists:
        return
    if not found.ours:
        what, fix = f"{path} belongs to another user", "set JOBQ_HOME to a directory of your own"
        yield Finding("embedded", "bad", what, fix)
    elif not found.writable:
        yield Finding("embedded", "bad", f"{path} cannot be written to", f"chmod u+rwx {path}")
    if found.open:
        yield Finding("embedded", "warning", f"others may look into {path}", f"chmod 700 {path}")
    if found.system in NETWORK:
        what = f"{path} is on {found.system}, where locks between hosts cannot be trusted"
        yield Finding("embedded", "warning", what, "set JOBQ_HOME to a directory on a local disk")
    if found.free < LITTLE[0]:
        what = f"{found.free / 1e6:,.0f} MB of disk left for {path}"
        fix = "make room: without it, the server refuses writes"
        yield Finding("embedded", "bad" if found.free < LITTLE[1] else "warning", what, fix)
