"""Ask pyright whether each type of the public API is known: run it as a script, in tox -e types.

Users see the client and the core: what is in the other packages is ours alone.
"""

import json
import subprocess
import sys

OURS = ("store", "runtime", "cli", "embedded", "observe", "__main__")


def unknown() -> list[str]:
    """Return the public names whose type pyright cannot tell, with the reason."""
    words = ["pyright", "--verifytypes", "jobq", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    return [
        f"{one['name']}: {one['diagnostics'][0]['message'] if one['diagnostics'] else 'unknown'}"
        for one in found
        if one["isExported"] and not one["isTypeKnown"] and one["name"].split(".")[1] not in OURS
    ]


if __name__ == "__main__":
    names = unknown()
    sys.exit("\n".join(names) if names else 0)
