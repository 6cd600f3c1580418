"""A private Valkey or Redis, shared by all processes of a project through kernel locks.

Guarantees:
    * `ensure` returns the socket of a server that just answered; the server lives at least as
      long as any process that called it, and its forked children;
    * whoever dies, however (user, keeper, server; SIGKILL included): the next `ensure` finds or
      makes a server with all data;
    * nothing outlives the last user by more than ``JOBQ_LINGER`` seconds and a shutdown;
    * never two servers on one data directory.
"""

from jobq.embedded.find import Binary, find_server
from jobq.embedded.home import find_home
from jobq.embedded.start import ensure

__all__ = ["Binary", "ensure", "find_home", "find_server"]
