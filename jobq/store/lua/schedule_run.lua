--[[
Make a job of a schedule now, by hand; its ticks stay as they are.

KEYS
  1  schedules  hash    letter + schedule name -> what it is and how it stands
  2  past       list    the last ticks of the schedule, the newest first
  3  jobs       stream  where its jobs go
  4  index      hash    job id -> where it is
  5  lanes      zset    lane -> the number of its last call
  6  tally      hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  lane      the producer connection that sends
  2  number    of this call, rising within the lane
  3  name      of the schedule
  4  revision  that the sender has read
  5  id        of the job
  6  call      its call
  7  letter    stands before the entry in the index
  8  kept      past ticks that are kept
RETURNS
  1  done, or this is a resend of what was done before
  0  the schedule has changed, or is gone
]]
local last = redis.call('ZSCORE', KEYS[5], ARGV[1])
if last and tonumber(last) >= tonumber(ARGV[2]) then return 1 end
local name = ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'r' .. name, 'l' .. name)
if has[1] ~= ARGV[4] then return 0 end
redis.call('LLEN', KEYS[2]) -- wrong types must fail before the first write
local before = redis.call('HGET', KEYS[4], has[2] or '')
local entry = redis.call('XADD', KEYS[3], '*', ARGV[5], ARGV[6])
redis.call('HSET', KEYS[4], ARGV[5], ARGV[7] .. entry)
redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
-- The job of a tick that runs still is the one that the next tick must not overlap.
if not before or string.sub(before, 1, 1) == 'x' then
  redis.call('HSET', KEYS[1], 'l' .. name, ARGV[5])
end
redis.call('LPUSH', KEYS[2], string.format('0 %.0f ', now) .. ARGV[5] .. ' -')
redis.call('LTRIM', KEYS[2], 0, ARGV[8] - 1)
redis.pcall('HINCRBY', KEYS[1], 'n', 1)
count_in(KEYS[6], now, (job_of(ARGV[6])), 'e 1')
return 1
