--[[
Note the outcomes of past ticks of a schedule; one that has changed meanwhile is left alone.

KEYS
  1  past  list  the last ticks of the schedule, the newest first
ARGV
  1… the text of a tick as it was, and as it is to be, in turn
RETURNS
  n  how many were noted
]]
local becomes, noted = {}, 0
for i = 1, #ARGV, 2 do becomes[ARGV[i]] = ARGV[i + 1] end
for i, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if becomes[text] then
    redis.call('LSET', KEYS[1], i - 1, becomes[text])
    noted = noted + 1
  end
end
return noted
