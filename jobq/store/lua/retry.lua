--[[
Move a first attempt that did not succeed to the retries, where the parking consumer holds it.

One whose cancel was asked for while it ran ends instead.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  due      zset    what becomes runnable when
  4  index    hash    job id -> where it is
  5  history  hash    job id -> its attempts so far
  6  meta     hash    counters
  7  cancels  hash    job id -> where it ran when its cancel was asked for
  8  result   string  the result of the job
  9  tally    hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  group     the consumer group
  2  consumer  the worker that had it
  3  parked    the parking consumer
  4  entry     the entry it had
  5  id        the job's id
  6  call      the encoded call
  7  used      attempts used so far: 1 after a failure, 0 when it was given back unstarted
  8  delay     ms until it becomes runnable
  9  kind      one letter: which workers may take it
 10  history   its attempts so far, encoded; empty: none
 11  ttl       TTL in ms of the word for those who wait for the result of one that was cancelled
 12  value     that word, encoded
 13  letter    of the stream that it leaves, as in the index
 14  job       the job function
 15  counts    what else is counted of this attempt
 16… names and values of what else stays with it: when it was enqueued, its line
RETURNS
  2  cancelled
  1  parked
  0  the worker no longer owns this attempt; nothing was done
]]
local jobs, retries, due, group, parked = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3]
if #redis.call('XPENDING', jobs, group, ARGV[4], ARGV[4], 1, ARGV[2]) == 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZCARD', due) -- wrong types, and no group, must fail before the first write
redis.call('XPENDING', retries, group, '-', '+', 1)
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
if redis.call('HGET', KEYS[7], ARGV[5]) == ARGV[13] .. ARGV[4] then
  redis.call('XACK', jobs, group, ARGV[4])
  redis.call('XDEL', jobs, ARGV[4])
  redis.call('HDEL', KEYS[4], ARGV[5])
  redis.call('HDEL', KEYS[7], ARGV[5])
  redis.call('SET', KEYS[8], ARGV[12], 'PX', ARGV[11])
  -- pcall: text that a stranger put in the place of a number must not end this half-way
  redis.pcall('HINCRBY', KEYS[6], 'cancelled', 1)
  count_in(KEYS[9], now, ARGV[14], 'n 1 ' .. ARGV[15])
  return 2
end
-- Deletes nothing, but counts as a write: after one a full Redis lets XADD pass. And XADD comes
-- before the rest, for a stranger's entry with the greatest id of all makes it fail.
redis.call('XDEL', jobs, '0-0')
local entry = redis.call('XADD', retries, '*', ARGV[5], ARGV[6], unpack(ARGV, 16))
redis.call('XACK', jobs, group, ARGV[4])
redis.call('XDEL', jobs, ARGV[4])
-- What a stranger added before us is parked as well: whoever takes it will bury it.
local found = false
while not found do
  local read = redis.call('XREADGROUP', 'GROUP', group, parked, 'COUNT', 100, 'STREAMS', retries, '>')
  if not read then break end
  for _, got in ipairs(read[1][2]) do
    if got[1] == entry then found = true else redis.call('ZADD', due, now, '?' .. got[1]) end
  end
end
redis.call('XCLAIM', retries, group, parked, 0, entry, 'RETRYCOUNT', ARGV[7], 'JUSTID')
redis.call('ZADD', due, now + tonumber(ARGV[8]), ARGV[9] .. entry)
redis.call('HSET', KEYS[4], ARGV[5], 'r' .. entry)
if ARGV[10] ~= '' then redis.call('HSET', KEYS[5], ARGV[5], ARGV[10]) end
if ARGV[7] ~= '0' then redis.pcall('HINCRBY', KEYS[6], 'retried', 1) end
if ARGV[9] == 'u' then redis.pcall('HINCRBY', KEYS[6], 'put_back', 1) end
count_in(KEYS[9], now, ARGV[14], (ARGV[7] ~= '0' and 'r 1 ' or '') .. ARGV[15])
return 1
