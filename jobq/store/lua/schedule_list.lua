--[[
Read schedules of a queue, page by page, without their calls.

KEYS
  1  schedules  hash  letter + schedule name -> what it is and how it stands
  2  ticks      zset  schedule name -> when its next tick fires
ARGV
  1  name   only this one; empty: all
  2  start  how many to leave out
  3  count  how many at most
RETURNS
  list  how often they were changed; then of each: name, when its next tick fires (ms), definition,
        revision, nominal time of its next tick, since when it is paused, who declares it, the
        ticks that wait, what is wrong with it
]]
local found = { redis.call('HGET', KEYS[1], 'n') or '' }
local names = { ARGV[1] }
if ARGV[1] == '' then
  names = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1)
end
for _, name in ipairs(names) do
  local has = redis.call('HMGET', KEYS[1], 'd' .. name, 'r' .. name, 't' .. name, 'p' .. name,
    'o' .. name, 'b' .. name, 'e' .. name)
  local row = { name, redis.call('ZSCORE', KEYS[2], name) or '' }
  for i = 1, 7 do row[i + 2] = has[i] or '' end
  found[#found + 1] = row
end
return found
