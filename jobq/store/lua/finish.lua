--[[
Finish one succeeded later attempt: acknowledge, delete, forget, store the result.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  index    hash    job id -> where it is
  3  history  hash    job id -> its attempts so far
  4  meta     hash    counters
  5  cancels  hash    job id -> where it ran when its cancel was asked for
  6  result   string  the result of the job
  7  checkpoint  string  what it kept for its next attempt
  8  tally    hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  group     the consumer group
  2  consumer  the worker that ran it
  3  entry     the entry it ran
  4  attempt   the delivery count that the worker was given: the fence
  5  id        the job's id
  6  ttl       TTL of the result in ms; 0: store none
  7  value     the encoded result
  8  job       the job function
  9  counts    what else is counted of this attempt
RETURNS
  1  done
  0  the worker no longer owns this attempt; nothing was done
]]
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #held == 0 or held[1][4] ~= tonumber(ARGV[4]) then return 0 end
redis.call('HLEN', KEYS[2]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[2], ARGV[5])
redis.call('HDEL', KEYS[3], ARGV[5])
redis.call('HDEL', KEYS[5], ARGV[5])
redis.call('DEL', KEYS[7])
if tonumber(ARGV[6]) > 0 then
  redis.call('SET', KEYS[6], ARGV[7], 'PX', ARGV[6])
end
-- pcall: text that a stranger put in the place of a number must not end this half-way
redis.pcall('HINCRBY', KEYS[4], 'succeeded', 1)
count_in(KEYS[8], now, ARGV[8], 's 1 ' .. ARGV[9])
return 1
