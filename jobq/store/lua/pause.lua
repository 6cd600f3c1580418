--[[
Pause a queue, or one of its job functions: none of its jobs starts any more.

KEYS
  1  pauses  hash  job function -> since when it is paused, by whom; *: all of them
ARGV
  1  job    the name of the job function; * for the whole queue
  2  for    ms until it ends by itself; 0: it does not, or `until` says when
  3  until  Redis time in ms at which it ends by itself; 0: it does not
  4  words  by whom and why, encoded
  5  most   pauses that a queue may have
RETURNS
   1  paused
   2  it was already; the words and the end are new, since when it is stays as it was
   0  the end is over already; nothing was done
  -1  there are as many as there may be
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(ARGV[3])
if ARGV[2] ~= '0' then ends = now + tonumber(ARGV[2]) end
if ends > 0 and ends <= now then return 0 end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[5]) then return -1 end
local since, was = now, 1
if known then
  local from, to = string.match(known, '^(%d+) (%d+) ')
  if from and (to == '0' or tonumber(to) > now) then since, was = tonumber(from), 2 end
end
redis.call('HDEL', KEYS[1], ARGV[1]) -- after it, a full Redis lets HSET pass
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %.0f ', since, ends) .. ARGV[4])
return was
