--[[
Put calls at the end of a queue, once: a resend by the same lane adds nothing.

KEYS
  1  jobs   stream  calls waiting for their first attempt
  2  index  hash    job id -> where it is
  3  lanes  zset    lane -> the number of its last call
  4  tally  hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  lane    the producer connection that sends
  2  number  of this call, rising within the lane
  3… id and call of each job, in turn
RETURNS
  n  how many were added; 0: this is a resend of what was added before
]]
local moved = redis.pcall('ZADD', KEYS[3], 'GT', 'CH', ARGV[2], ARGV[1])
if moved == 0 then return 0 end
if type(moved) == 'table' then
  -- A full Redis refuses even a resend; nobody may be told that nothing was added if it was.
  local last = redis.pcall('ZSCORE', KEYS[3], ARGV[1])
  if type(last) == 'string' and tonumber(last) >= tonumber(ARGV[2]) then return 0 end
  return moved
end
local where, try, jobs = {}, redis.pcall, KEYS[1]
local failed
for i = 3, #ARGV, 2 do
  local entry = try('XADD', jobs, '*', ARGV[i], ARGV[i + 1])
  if type(entry) == 'table' then
    failed = entry
    break
  end
  where[i - 2] = ARGV[i]
  where[i - 1] = 'j' .. entry
end
if not failed then
  local set = try('HSET', KEYS[2], unpack(where))
  if type(set) ~= 'table' then
    -- Nine digits: tens of seconds. To make minutes of them here would cost 1 us a call.
    count_added(KEYS[4], string.sub(where[2], 2, 10), ARGV, 4)
    return #where / 2
  end
  failed = set
end
-- A key of another type, or a stream at its last id: leave everything as it was.
for i = 2, #where, 2 do redis.call('XDEL', KEYS[1], string.sub(where[i], 2)) end
redis.call('ZADD', KEYS[3], ARGV[2] - 1, ARGV[1])
return failed
