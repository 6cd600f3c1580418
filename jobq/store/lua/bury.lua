--[[
Move an attempt to the dead letters: it will not run again by itself.

KEYS
  1  source   stream  where the attempt is: jobs or retries
  2  dead     stream  dead letters
  3  index    hash    job id -> where it is
  4  history  hash    job id -> its attempts so far
  5  meta     hash    counters
  6  cancels  hash    job id -> where it ran when its cancel was asked for
  7  result   string  the result of the job
ARGV
  1  group     the consumer group
  2  consumer  the worker that had it
  3  entry     the entry it had
  4  attempt   the delivery count that the worker was given; 0: do not compare it
  5  id        the job's id
  6  call      the encoded call
  7  letter    what the dead letter says, encoded
  8  ttl       TTL of the result in ms; 0: store none
  9  value     the encoded failure, for those who wait for the result
 10  was       for what cannot be read: the id that the entry had; empty: the same
 11  counter   what counts it beside the dead letters: expired; empty: nothing
 12  line      the letter of its line, to which it goes back when it is brought back
RETURNS
  1  buried
  0  the worker no longer owns this attempt; nothing was done
]]
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #held == 0 then return 0 end
if ARGV[4] ~= '0' and held[1][4] ~= tonumber(ARGV[4]) then return 0 end
redis.call('XLEN', KEYS[2]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
-- Deletes nothing, but counts as a write: after one a full Redis lets XADD pass. And XADD comes
-- before the rest, for a stranger's entry with the greatest id of all makes it fail.
redis.call('XDEL', KEYS[1], '0-0')
local fields = { ARGV[5], ARGV[6], 'letter', ARGV[7] }
if ARGV[12] ~= 'j' then fields[5], fields[6] = 'line', ARGV[12] end
local entry = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[5])
redis.call('HDEL', KEYS[6], ARGV[5])
redis.call('HSET', KEYS[3], ARGV[5], 'x' .. entry)
if ARGV[10] ~= '' then
  local where = redis.call('HGET', KEYS[3], ARGV[10])
  if where and string.sub(where, 2) == ARGV[3] then
    redis.call('HDEL', KEYS[3], ARGV[10])
    redis.call('HDEL', KEYS[6], ARGV[10])
  end
end
if tonumber(ARGV[8]) > 0 then
  redis.call('SET', KEYS[7], ARGV[9], 'PX', ARGV[8])
end
-- pcall: text that a stranger put in the place of a number must not end this half-way
redis.pcall('HINCRBY', KEYS[5], 'dead', 1)
if ARGV[11] ~= '' then redis.pcall('HINCRBY', KEYS[5], ARGV[11], 1) end
return 1
