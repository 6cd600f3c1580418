"""The clock of tests: scripts that take the time from one place, which a test can move.

Only where a test asks for it, a script is changed before Redis is given it: its ``TIME`` is the
real time and the milliseconds of the key ``jobq:clock``, and so are the ids of new entries. What
Redis itself measures stays real: how long an entry has been idle, and when a key expires.
"""

import re
from typing import Final

from jobq.store import keys

#: The one way in which a script asks for the time.
TIME: Final = "redis.call('TIME')"

#: The one way in which a script adds an entry: the key may be any name or element of a table.
ADDED: Final = re.compile(r"('XADD', ([\w.\[\]]+), (?:'MAXLEN', '~', [\w.\[\]]+, )?)'\*'")

#: With no key, or 0 in it, all is as without this.
PRELUDE: Final = """\
local function moved_time()
  local time = redis.call('TIME')
  local by = tonumber(redis.call('GET', '{clock}') or '0')
  if not by or by == 0 then return time, false end
  local ms = time[1] * 1000 + math.floor(time[2] / 1000) + by
  return { math.floor(ms / 1000), ms % 1000 * 1000 + time[2] % 1000 }, ms
end
local function moved_id(stream)
  local _, now = moved_time()
  if not now then return '*' end
  local info = redis.pcall('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    -- Below its last id, Redis itself goes on from that one.
    if info[i] == 'last-generated-id' and tonumber(string.match(info[i + 1], '%d+')) >= now then
      return '*'
    end
  end
  return string.format('%.0f-0', now)
end
""".replace("{clock}", keys.CLOCK)


def moved(text: str) -> str:
    """Return the text of a script, changed so that it obeys the clock of tests."""
    changed = ADDED.sub(r"\1moved_id(\2)", text.replace(TIME, "moved_time()"))
    return PRELUDE + changed if changed != text else text
