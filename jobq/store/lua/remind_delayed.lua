--[[
Give a time to delayed jobs that have none, because somebody deleted it: they are due now.

KEYS
  1  delayed  hash  job id -> a delayed job
  2  due      zset  what becomes runnable when
  3  index    hash  job id -> where it is
ARGV
  1  cursor  of the page before; 0 from the start
  2  count   how many to look at, more or less
RETURNS
  list  the cursor of this page (0 at the end), how many were given a time
]]
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
redis.call('ZCARD', KEYS[2]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reminded = 0
for i = 1, #found[2], 2 do
  local id = found[2][i]
  local known = redis.call('ZSCORE', KEYS[2], 'd' .. id) or redis.call('ZSCORE', KEYS[2], 'q' .. id)
  if not known then
    local letter = redis.call('HGET', KEYS[3], id)
    redis.call('HDEL', KEYS[1], '') -- deletes nothing; after it, a full Redis lets ZADD pass
    if letter == 'q' then
      redis.call('ZADD', KEYS[2], now, 'q' .. id)
      reminded = reminded + 1
    elseif letter == 'd' or not letter then
      redis.call('ZADD', KEYS[2], now, 'd' .. id)
      reminded = reminded + 1
    else
      redis.call('HDEL', KEYS[1], id) -- what only a stranger can have put beside a job elsewhere
    end
  end
end
return { found[1], reminded }
