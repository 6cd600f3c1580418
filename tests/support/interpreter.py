"""A Python of its own for each document: blocks of code in, what they said out.

Run as a script, it reads one JSON line a block and answers with one JSON line.
"""

import contextlib
import io
import json
import sys
import traceback


def serve() -> None:
    """Run block after block in one namespace, until stdin ends."""
    answers = sys.stdout
    # An honest __main__: functions that a block defines are found there.
    namespace = vars(sys.modules["__main__"])
    for line in sys.stdin:
        block = json.loads(line)
        said = io.StringIO()
        error = ""
        with contextlib.redirect_stdout(said):
            try:
                # Blank lines first, so that tracebacks tell the line of the document.
                source = "\n" * (block["line"] - 1) + block["code"]
                exec(compile(source, block["path"], "exec"), namespace)  # noqa: S102  its purpose
            except BaseException:  # noqa: BLE001  told to the test, which fails
                error = traceback.format_exc()
        answers.write(json.dumps({"said": said.getvalue(), "error": error}) + "\n")
        answers.flush()


if __name__ == "__main__":
    sys.path.insert(0, "")
    serve()
