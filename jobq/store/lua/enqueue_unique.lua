--[[
Put one call with an id of the caller's own at the end of a queue, unless that id is taken.

KEYS
  1  jobs    stream  calls waiting for their first attempt
  2  index   hash    job id -> where it is
  3  lanes   hash    lane -> last sequence number and entry
  4  result  string  the result of the job with this id
ARGV
  1  lane  the producer connection that sends
  2  seq   its sequence number for this call, rising
  3  id    the job's id
  4  call  the encoded call
RETURNS
   1  added
   0  this is a resend of what was added before
  -1  the id is taken: the job lives, or its result is kept
]]
local last = redis.call('HGET', KEYS[3], ARGV[1])
if last and tonumber(string.match(last, '^%d+')) >= tonumber(ARGV[2]) then
  return 0
end
-- A refusal does not move the lane on: its resend is refused again, as it should be.
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 or redis.call('EXISTS', KEYS[4]) == 1 then
  return -1
end
local entry = redis.call('XADD', KEYS[1], '*', ARGV[3], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[3], 'j' .. entry)
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ' ' .. entry)
return 1
