"""A server whose clock can be moved: what it reads as time of day is off by so many seconds.

Uses libfaketime. Servers with an allocator that asks for the time before that is ready do not start
with it; for them a small library of our own is built, where there is a C compiler.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.server import Server
from tests.support.wait import wait_until

#: Only the time of day, by whole seconds that stand in a file, mapped into memory.
SOURCE = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset;

__attribute__((constructor)) static void begin(void) {
  int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY);
  void *at = fd < 0 ? MAP_FAILED : mmap(0, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
  if (at != MAP_FAILED) offset = at;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
  int failed = (int)syscall(SYS_clock_gettime, id, ts);
  if (!failed && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
    ts->tv_sec += *offset;
  return failed;
}

int gettimeofday(struct timeval *tv, void *zone) {
  struct timespec ts;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &ts);
  tv->tv_sec = ts.tv_sec;
  tv->tv_usec = ts.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec ts;
  clock_gettime(CLOCK_REALTIME, &ts);
  if (at) *at = ts.tv_sec;
  return ts.tv_sec;
}
"""


class Clock:
    """The clock of one server.

    Args:
        server: one that nobody uses yet; it is started again.

    Raises:
        LookupError: no library moves the clock of this server here; says what was tried.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._text = server.folder / "clock"
        self._number = server.folder / "clock.bin"
        self.move(0)
        tried = []
        for name, env in self._ways():
            tried.append(name)
            if not self._runs_with(env):
                continue
            server.stop()
            server.configure({}, env)
            server.start()
            if self._obeys():
                return
        server.stop()
        server.configure({}, {"LD_PRELOAD": ""})
        raise LookupError(
            f"nothing moves the clock of {server.binary}; tried: {tried or 'nothing'}"
        )

    def move(self, seconds: int) -> None:
        """Let the clock be off by so many seconds from now on; 0: right again. See `wait`."""
        with self._number.open("r+b" if self._number.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))  # in place: it is mapped
        self._text.write_text(f"{seconds:+d}", encoding="ascii")

    def wait(self, seconds: int) -> None:
        """Wait until the server sees it off by so many seconds: it looks when a command comes."""
        wait_until(lambda: abs(self._is_off_by() - seconds) < 5, f"it is off by {seconds} s", 2)

    def _is_off_by(self) -> float:
        seconds, micros = self._server.cli("TIME")
        return float(int(seconds) + int(micros) / 1e6 - time.time())

    def _ways(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        found = importlib.util.find_spec("libfaketime")
        if found is not None and found.origin is not None:
            for library in sorted(Path(found.origin).parent.rglob("libfaketime.so.1")):
                yield (
                    "libfaketime",
                    {
                        "LD_PRELOAD": str(library),
                        "FAKETIME_TIMESTAMP_FILE": str(self._text),
                        "FAKETIME_NO_CACHE": "1",
                        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                    },
                )
        compiler = shutil.which("cc")
        if compiler is not None and sys.platform == "linux":
            source = self._server.folder / "clock.c"
            library = source.with_suffix(".so")
            source.write_text(SOURCE, encoding="ascii")
            subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
            yield "cc", {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._number)}

    def _runs_with(self, env: Mapping[str, str]) -> bool:
        """Whether the server so much as tells its version; some hang."""
        try:
            said = subprocess.run(
                [self._server.binary, "--version"],
                env={**os.environ, **env},
                capture_output=True,
                check=True,
                timeout=5,
            )
        except subprocess.SubprocessError:
            return False
        return not said.stderr

    def _obeys(self) -> bool:
        for seconds in (1000, 0):
            self.move(seconds)
            try:
                self.wait(seconds)
            except AssertionError:
                return False
        return True
