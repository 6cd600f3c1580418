--[[
Read what is paused in a queue. Writes nothing: what is over is left out, and may still be there.

KEYS
  1  pauses  hash  job function -> since when it is paused, by whom; *: all of them
RETURNS
  list  the name and the record of each pause
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seen, every = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #every, 2 do
  local ends = string.match(every[i + 1], '^%d+ (%d+) ')
  if not ends or ends == '0' or tonumber(ends) > now then
    seen[#seen + 1], seen[#seen + 2] = every[i], every[i + 1]
  end
end
return seen
