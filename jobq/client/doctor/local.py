"""Looking at this machine: the libraries, and the directory of the embedded server."""

import os
import stat
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from jobq.core.doctor.local import Home
from jobq.embedded import find_server
from jobq.errors import ServerError

#: How the URL of an embedded server starts, for people.
_EMBEDDED = "embedded://"

_MOUNTS = Path("/proc/self/mounts")


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries; empty: not installed."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found


def home_of(safe_url: str) -> Path | None:
    """Return the directory of the embedded server that a URL is of; None: it is another one."""
    return Path(safe_url.removeprefix(_EMBEDDED)) if safe_url.startswith(_EMBEDDED) else None


def home(path: Path) -> Home:
    """Look at the directory of the embedded server, before it is used."""
    problem = ""
    try:
        find_server()
    except ServerError as error:
        problem = str(error).partition("\n")[0]
    try:
        found = path.stat()
    except FileNotFoundError:
        return Home(path=str(path), exists=False, problem=problem)
    except OSError as error:
        return Home(path=str(path), exists=False, problem=f"{path}: {error.strerror}")
    room = os.statvfs(path)
    return Home(
        path=str(path),
        exists=True,
        ours=found.st_uid == os.geteuid(),
        open=bool(stat.S_IMODE(found.st_mode) & 0o077),
        writable=bool(found.st_mode & stat.S_IWUSR),
        free=room.f_bavail * room.f_frsize,
        system=_file_system(path),
        problem=problem,
    )


def _file_system(path: Path) -> str:
    """Return the type of the file system of a path, where the system tells."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        words = line.split(" ")
        if len(words) > 2 and path.is_relative_to(words[1]) and len(words[1]) >= best:
            best, kind = len(words[1]), words[2]
    return kind
