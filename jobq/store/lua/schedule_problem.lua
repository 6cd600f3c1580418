--[[
Note what keeps a schedule from ticking, for those who look at it.

KEYS
  1  schedules  hash  letter + schedule name -> what it is and how it stands
ARGV
  1  name      of the schedule
  2  revision  that has the problem
  3  problem   in words
RETURNS
  1  noted
  0  the schedule has changed
]]
if redis.call('HGET', KEYS[1], 'r' .. ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'e' .. ARGV[1], ARGV[3])
return 1
