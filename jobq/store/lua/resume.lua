--[[
End a pause: supervisors see it in their next round, and give free what was held.

KEYS
  1  pauses  hash  job function -> since when it is paused, by whom; *: all of them
  2  meta    hash  counters; `unhold`: when a job function was resumed, in ms, and how often held
                   jobs were given free since
ARGV
  1  job  the name of the job function; * for the whole queue
RETURNS
  1  resumed
  0  it was not paused
]]
redis.call('HLEN', KEYS[2]) -- a wrong type must fail before the first write
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '*' then redis.call('HSET', KEYS[2], 'unhold', string.format('%.0f 0', now)) end
return 1
