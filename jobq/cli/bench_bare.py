"""The process of the bare worker: ``python -m jobq.cli.bench_bare QUEUE``."""

import gc
import os
import sys

from jobq.cli.bench_app import HOLD, MARK, NOOP, STORED, noop, stored
from jobq.cli.bench_gate import hold, leash, mark
from jobq.client.where import VARIABLE
from jobq.core.options import DEFAULT_RESULT_TTL
from jobq.store.address import parse_url
from jobq.store.bare.worker import Functions, work

FUNCTIONS: Functions = {
    NOOP: (noop, 0),
    STORED: (stored, int(DEFAULT_RESULT_TTL * 1000)),
    HOLD: (hold, 0),
    MARK: (mark, 0),
}


def main() -> None:
    """Work until the bench ends this process, or has ended itself."""
    leash(lambda: os._exit(0))  # from a thread, and there is nothing to tidy
    gc.freeze()  # as jobq's own worker does
    work(parse_url(os.environ[VARIABLE]), sys.argv[1], FUNCTIONS)


if __name__ == "__main__":
    main()
