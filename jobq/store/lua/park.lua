--[[
Park a later attempt that did not succeed again: the parking consumer holds it until it is due.

One whose cancel was asked for while it ran ends instead.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
  3  index    hash    job id -> where it is
  4  history  hash    job id -> its attempts so far
  5  meta     hash    counters
  6  cancels  hash    job id -> where it ran when its cancel was asked for
  7  result   string  the result of the job
  8  tally    hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  group     the consumer group
  2  consumer  the worker that had it
  3  parked    the parking consumer
  4  entry     the entry it had
  5  attempt   the delivery count that the worker was given: the fence
  6  used      attempts used so far: that count, or one less when it was given back unstarted
  7  delay     ms until it becomes runnable
  8  kind      one letter: which workers may take it
  9  id        the job's id
 10  history   its attempts so far, encoded; empty: as they were
 11  ttl       TTL in ms of the word for those who wait for the result of one that was cancelled
 12  value     that word, encoded
 13  job       the job function
 14  counts    what else is counted of this attempt
RETURNS
  2  cancelled
  1  parked
  0  the worker no longer owns this attempt; nothing was done
]]
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[4], 1, ARGV[2])
if #held == 0 or held[1][4] ~= tonumber(ARGV[5]) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZCARD', KEYS[2]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
if redis.call('HGET', KEYS[6], ARGV[9]) == 'r' .. ARGV[4] then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[4])
  redis.call('XDEL', KEYS[1], ARGV[4])
  redis.call('HDEL', KEYS[3], ARGV[9])
  redis.call('HDEL', KEYS[4], ARGV[9])
  redis.call('HDEL', KEYS[6], ARGV[9])
  redis.call('SET', KEYS[7], ARGV[12], 'PX', ARGV[11])
  -- pcall: text that a stranger put in the place of a number must not end this half-way
  redis.pcall('HINCRBY', KEYS[5], 'cancelled', 1)
  count_in(KEYS[8], now, ARGV[13], 'n 1 ' .. ARGV[14])
  return 2
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[4], 'RETRYCOUNT', ARGV[6], 'JUSTID')
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[7]), ARGV[8] .. ARGV[4])
if ARGV[10] ~= '' then redis.call('HSET', KEYS[4], ARGV[9], ARGV[10]) end
if ARGV[5] == ARGV[6] then redis.pcall('HINCRBY', KEYS[5], 'retried', 1) end
if ARGV[8] == 'u' then redis.pcall('HINCRBY', KEYS[5], 'put_back', 1) end
count_in(KEYS[8], now, ARGV[13], (ARGV[5] == ARGV[6] and 'r 1 ' or '') .. ARGV[14])
return 1
