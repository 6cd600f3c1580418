--[[
Put one call with an id of the caller's own at the end of a queue, unless that id is taken.

KEYS
  1  jobs    stream  calls waiting for their first attempt
  2  index   hash    job id -> where it is
  3  lanes   zset    lane -> the number of its last call
  4  result  string  the result of the job with this id
ARGV
  1  lane    the producer connection that sends
  2  number  of this call, rising within the lane
  3  id      the job's id
  4  call    the encoded call
RETURNS
   1  added
   0  this is a resend of what was added before
  -1  the id is taken: the job lives, or its result is kept
]]
local last = redis.call('ZSCORE', KEYS[3], ARGV[1])
if last and tonumber(last) >= tonumber(ARGV[2]) then return 0 end
-- A refusal does not move the lane on: its resend is refused again, as it should be.
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 or redis.call('EXISTS', KEYS[4]) == 1 then
  return -1
end
local entry = redis.call('XADD', KEYS[1], '*', ARGV[3], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[3], 'j' .. entry)
redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
return 1
