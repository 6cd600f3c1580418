--[[
Park a later attempt that did not succeed again: the parking consumer holds it until it is due.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
  3  history  hash    job id -> its attempts so far
  4  meta     hash    counters
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
RETURNS
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
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[4], 'RETRYCOUNT', ARGV[6], 'JUSTID')
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[7]), ARGV[8] .. ARGV[4])
if ARGV[10] ~= '' then redis.call('HSET', KEYS[3], ARGV[9], ARGV[10]) end
if ARGV[5] == ARGV[6] then redis.call('HINCRBY', KEYS[4], 'retried', 1) end
return 1
