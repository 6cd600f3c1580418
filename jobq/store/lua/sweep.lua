--[[
Forget the lanes of producers that have sent nothing for long: nothing of theirs can be resent.

KEYS
  1  lanes  hash  lane -> last sequence number and entry
ARGV
  1  cursor  where to go on; 0 at first
  2  age     ms without a call after which a lane is stale
RETURNS
  cursor  where to go on; 0 at the end
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
for i = 1, #page[2], 2 do
  local ms = tonumber(string.match(page[2][i + 1], ' (%d+)%-'))
  if not ms or ms < now - tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], page[2][i]) end
end
return page[1]
