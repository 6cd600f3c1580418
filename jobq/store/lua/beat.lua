--[[
Say that a worker lives, and forget those that have not said so for long.

KEYS
  1  workers  hash  worker name -> when it was last seen, and what it is
ARGV
  1  name    the worker
  2  record  what it is, encoded; empty: it has stopped, forget it
  3  silent  ms after which another is forgotten
RETURNS
  ms  Redis time
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return now
end
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local seen = tonumber(string.match(all[i + 1], '^%d+'))
  if not seen or seen < now - tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
end
redis.call('HDEL', KEYS[1], ARGV[1]) -- after it, a full Redis lets HSET pass
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
return now
