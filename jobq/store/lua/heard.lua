--[[
Note that the hooks have heard of a dead letter.

KEYS
  1  unheard  zset  dead letters that hooks have not heard of, by when they may be taken
ARGV
  1  id     that of the job
  2  until  until when it was taken; if that has changed, it has died again
RETURNS
  1  noted
  0  others have it now
]]
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
