"""Tests of code that enqueues jobs: a Redis of their own, a clock that moves, jobs run in place.

With pytest, the fixture ``jobq`` is a `Session`; anywhere else `session` makes one::

    with jobq.testing.session(app) as test:
        sign_up("ada@example.org")
        test.assert_enqueued(send_welcome, "ada@example.org")
        test.run_all()
        test.travel("2h", run=True)
"""

from jobq.testing.calls import Call
from jobq.testing.clock import ManualClock
from jobq.testing.opening import session
from jobq.testing.running import Ran
from jobq.testing.server import private_server
from jobq.testing.session import Session

__all__ = ["Call", "ManualClock", "Ran", "Session", "private_server", "session"]
