--[[
Cancel a job: one that waits ends here, one that runs is marked and does not start again.

KEYS
  1  index    hash    job id -> where it is
  2  jobs     stream  calls waiting for, or in, their first attempt
  3  retries  stream  calls waiting for, or in, a later attempt
  4  due      zset    what becomes runnable when
  5  history  hash    job id -> its attempts so far
  6  meta     hash    counters
  7  cancels  hash    job id -> where it ran when its cancel was asked for
  8  result   string  the result of the job
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  id      the job's id
  4  ttl     TTL in ms of the word for those who wait for the result
  5  value   that word, encoded
  6  kinds   the letters that may stand before an entry in due
RETURNS
   1  cancelled
   0  no such job, or not one that waits: finished or unknown
  -1  it is running; it was marked
  -2  it is dead
]]
local where = redis.call('HGET', KEYS[1], ARGV[3])
if not where then return 0 end
local letter, entry = string.sub(where, 1, 1), string.sub(where, 2)
if letter == 'x' then return -2 end
local stream = letter == 'j' and KEYS[2] or KEYS[3]
redis.call('ZCARD', KEYS[4]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
redis.call('HLEN', KEYS[7])
-- No group yet (nothing ever read this queue) is an error for XPENDING, and no news for us.
local held = redis.pcall('XPENDING', stream, ARGV[1], entry, entry, 1)
if not held.err then
  if #held == 1 and held[1][2] ~= ARGV[2] then
    redis.call('XDEL', stream, '0-0') -- deletes nothing; after it, a full Redis lets HSET pass
    redis.call('HSET', KEYS[7], ARGV[3], where)
    return -1
  end
  redis.call('XACK', stream, ARGV[1], entry)
end
redis.call('XDEL', stream, entry)
if letter == 'r' then
  for i = 1, #ARGV[6] do redis.call('ZREM', KEYS[4], string.sub(ARGV[6], i, i) .. entry) end
  redis.call('HDEL', KEYS[5], ARGV[3])
end
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[7], ARGV[3])
redis.call('SET', KEYS[8], ARGV[5], 'PX', ARGV[4])
-- pcall: text that a stranger put in the place of a number must not end this half-way
redis.pcall('HINCRBY', KEYS[6], 'cancelled', 1)
return 1
