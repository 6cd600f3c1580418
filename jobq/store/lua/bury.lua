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
  8  unheard  zset    dead letters that hooks have not heard of, by when they may be taken
  9  groups   hash    fingerprint -> the dead letters alike
 10  grouped  zset    fingerprint and entry of each of them
 11  tally    hash    minute, key and job function -> a number that is in no row yet
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
 13  unheard   ms after which any worker may tell the hooks of it; empty: there are none
 14  alike     the fingerprint of its group of dead letters; empty: none
 15  about     what those in the group have in common, encoded
 16  most      groups that are told apart
 17  job       the job function
 18  counts    what else is counted of this attempt
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
redis.call('ZCARD', KEYS[8])
-- Deletes nothing, but counts as a write: after one a full Redis lets XADD pass. And XADD comes
-- before the rest, for a stranger's entry with the greatest id of all makes it fail.
redis.call('XDEL', KEYS[1], '0-0')
local fields = { ARGV[5], ARGV[6], 'letter', ARGV[7] }
if ARGV[14] ~= '' then fields[5], fields[6] = 'group', ARGV[14] end
if ARGV[12] ~= 'j' then fields[#fields + 1], fields[#fields + 2] = 'line', ARGV[12] end
local entry = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
redis.call('HDEL', KEYS[4], ARGV[5])
redis.call('HDEL', KEYS[6], ARGV[5])
redis.call('HSET', KEYS[3], ARGV[5], 'x' .. entry)
join_group(KEYS[9], KEYS[10], entry, ARGV[14], ARGV[15], ARGV[16])
if ARGV[13] ~= '' then
  local ms = tonumber(string.match(entry, '^%d+')) + tonumber(ARGV[13])
  redis.call('ZADD', KEYS[8], ms, ARGV[5])
  -- Hooks that never come, or never end, must not fill Redis. pcall: a user of an older release
  -- may not be allowed to.
  redis.pcall('ZREMRANGEBYRANK', KEYS[8], 0, -100001)
end
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
count_in(KEYS[11], tonumber(string.match(entry, '^%d+')), ARGV[17], 'd 1 ' .. ARGV[18])
return 1
