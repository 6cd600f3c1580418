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
  9  delayed  hash    job id -> a delayed job
 10  high     stream  as jobs, those that go before them
 11  low      stream  as jobs, those that come after them
 12  unique   hash    uniqueness key -> the job that has it; @job id -> the key it has for a time
 13  tally    hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  id      the job's id
  4  ttl     TTL in ms of the word for those who wait for the result
  5  value   that word, encoded
  6  kinds   the letters that may stand before an entry in due
  7  mark    1: mark one that runs; 0: leave it alone
RETURNS
   1  cancelled
   0  no such job, or not one that waits: finished or unknown
  -1  it is running; it was marked, if that was asked for
  -2  it is dead
]]
local where = redis.call('HGET', KEYS[1], ARGV[3])
if not where then return 0 end
local letter, entry = string.sub(where, 1, 1), string.sub(where, 2)
if letter == 'x' then return -2 end
local streams = { j = KEYS[2], h = KEYS[10], l = KEYS[11], r = KEYS[3] }
local stream, delayed = streams[letter], letter == 'd' or letter == 'q'
if not stream and not delayed then return 0 end
redis.call('ZCARD', KEYS[4]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
redis.call('HLEN', KEYS[7])
redis.call('HLEN', KEYS[9])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local call
if delayed then
  call = string.match(redis.call('HGET', KEYS[9], ARGV[3]) or '', '^%d+ %a (.*)$')
else
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  call = found and found[2][2]
end
local key = redis.call('HGET', KEYS[12], '@' .. ARGV[3])
-- Other locks hold only while their job lives; one for a time must be told.
local function unlock()
  if key then redis.call('HDEL', KEYS[12], key, '@' .. ARGV[3]) end
end
if delayed then
  redis.call('ZREM', KEYS[4], letter .. ARGV[3])
  redis.call('HDEL', KEYS[9], ARGV[3])
  redis.call('HDEL', KEYS[5], ARGV[3])
else
  -- No group yet (nothing ever read this queue) is an error for XPENDING, and no news for us.
  local held = redis.pcall('XPENDING', stream, ARGV[1], entry, entry, 1)
  if not held.err then
    if #held == 1 and held[1][2] ~= ARGV[2] then
      if ARGV[7] == '1' then
        redis.call('XDEL', stream, '0-0') -- deletes nothing; after it, a full Redis lets HSET pass
        redis.call('HSET', KEYS[7], ARGV[3], where)
        unlock()
      end
      return -1
    end
    redis.call('XACK', stream, ARGV[1], entry)
  end
  redis.call('XDEL', stream, entry)
  if letter == 'r' then
    for i = 1, #ARGV[6] do redis.call('ZREM', KEYS[4], string.sub(ARGV[6], i, i) .. entry) end
    redis.call('HDEL', KEYS[5], ARGV[3])
  end
end
redis.call('HDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[7], ARGV[3])
unlock()
redis.call('SET', KEYS[8], ARGV[5], 'PX', ARGV[4])
-- pcall: text that a stranger put in the place of a number must not end this half-way
redis.pcall('HINCRBY', KEYS[6], 'cancelled', 1)
count_in(KEYS[13], now, (job_of(call or '')), 'n 1')
return 1
