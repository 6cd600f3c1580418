--[[
Put calls at the end of a queue, once: a resend by the same lane adds nothing.

KEYS
  1  jobs   stream  calls waiting for their first attempt
  2  index  hash    job id -> where it is
  3  lanes  hash    lane -> last sequence number and entry
ARGV
  1  lane  the producer connection that sends
  2  seq   its sequence number for this call, rising
  3… id and call of each job, in turn
RETURNS
  n  how many were added; 0: this is a resend of what was added before
]]
local last = redis.call('HGET', KEYS[3], ARGV[1])
if last and tonumber(string.match(last, '^%d+')) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('HLEN', KEYS[2]) -- a wrong type must fail before the first write
local where = {}
local entry
for i = 3, #ARGV, 2 do
  entry = redis.call('XADD', KEYS[1], '*', ARGV[i], ARGV[i + 1])
  where[#where + 1] = ARGV[i]
  where[#where + 1] = 'j' .. entry
end
redis.call('HSET', KEYS[2], unpack(where))
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2] .. ' ' .. entry)
return #where / 2
