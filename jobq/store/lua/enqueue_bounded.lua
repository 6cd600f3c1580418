--[[
Put calls at the end of a queue, unless it would then have more jobs than it may: all or none.

KEYS
  1  jobs    stream  calls waiting for their first attempt
  2  index   hash    job id -> where it is
  3  lanes   zset    lane -> the number of its last call
  4  dead    stream  dead letters
  5  result  string  the result of the job with the first id
ARGV
  1  lane    the producer connection that sends
  2  number  of this call, rising within the lane
  3  most    jobs that the queue may have, in any state
  4  unique  1: the first id is the caller's own, and must not be taken
  5… id and call of each job, in turn
RETURNS
   n  how many were added; 0: this is a resend of what was added before
  -1  the id is taken: the job lives, or its result is kept
  -2  this is a resend, and it cannot be told whether the first try added anything
  list  when the queue is full: how many jobs it has, how many of them are dead letters
]]
local last = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or '-1')
local number = tonumber(ARGV[2])
if last == number then return 0 end
if last > number then
  -- A refusal does not move the lane on, so a later call may have been added after one.
  return redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 and 0 or -2
end
local taken = redis.call('HEXISTS', KEYS[2], ARGV[5]) + redis.call('EXISTS', KEYS[5])
if ARGV[4] == '1' and taken > 0 then return -1 end
local size = redis.call('HLEN', KEYS[2])
if size + (#ARGV - 4) / 2 > tonumber(ARGV[3]) then
  return { size, redis.call('XLEN', KEYS[4]) }
end
local where, failed = {}, nil
for i = 5, #ARGV, 2 do
  local entry = redis.pcall('XADD', KEYS[1], '*', ARGV[i], ARGV[i + 1])
  if type(entry) == 'table' then
    failed = entry
    break
  end
  where[i - 4] = ARGV[i]
  where[i - 3] = 'j' .. entry
end
if failed then
  -- A key of another type, or a stream at its last id: leave everything as it was.
  for i = 2, #where, 2 do redis.call('XDEL', KEYS[1], string.sub(where[i], 2)) end
  return failed
end
redis.call('HSET', KEYS[2], unpack(where))
redis.call('ZADD', KEYS[3], number, ARGV[1])
return #where / 2
