"""``python -m jobq`` is ``jobq``."""

import sys

from jobq.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
