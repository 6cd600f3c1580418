--[[
Pause a schedule, or let it go on: ticks in between do not count as missed.

KEYS
  1  schedules  hash  letter + schedule name -> what it is and how it stands
  2  ticks      zset  schedule name -> when its next tick fires
ARGV
  1  name   of the schedule
  2  tick   nominal time in ms of the tick from which it goes on; empty: pause it
  3  fires  when that fires, ms
RETURNS
  1  done
  0  it was so before
 -1  there is no such schedule
]]
local name = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'd' .. name, 'p' .. name)
redis.call('ZCARD', KEYS[2]) -- wrong types must fail before the first write
if not has[1] then return -1 end
if (ARGV[2] == '') == (has[2] and true or false) then return 0 end
if ARGV[2] == '' then
  redis.call('HSET', KEYS[1], 'p' .. name, string.format('%.0f', now))
  redis.call('ZADD', KEYS[2], '+inf', name)
else
  redis.call('HDEL', KEYS[1], 'p' .. name)
  redis.call('HSET', KEYS[1], 't' .. name, ARGV[2])
  redis.call('ZADD', KEYS[2], ARGV[3], name)
end
redis.pcall('HINCRBY', KEYS[1], 'n', 1)
return 1
