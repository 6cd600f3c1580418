--[[
List what is pending for one consumer, with the calls: lost replies, and what a dead worker had.

KEYS
  1  stream   stream  jobs or retries
  2  history  hash    job id -> its attempts so far
  3  cancels  hash    job id -> where it ran when its cancel was asked for
ARGV
  1  group     the consumer group
  2  consumer  whose
  3  after     the entry after which to go on; '-' from the start
  4  count     how many at most
  5  idle      ms that an entry must have been idle; 0: all
RETURNS
  list  for each: entry, fields or nil, delivery count, history or nil, idle ms, the mark of
        its cancel or nil
]]
local pending
if ARGV[5] == '0' then
  pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], '+', ARGV[4], ARGV[2])
else
  pending = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[5], ARGV[3], '+', ARGV[4], ARGV[2])
end
local list = {}
for i, held in ipairs(pending) do
  local found = redis.call('XRANGE', KEYS[1], held[1], held[1])[1]
  local history = found and redis.call('HGET', KEYS[2], found[2][1])
  -- false, for nil would end the row: an entry may be pending that was deleted
  local mark = found and redis.call('HGET', KEYS[3], found[2][1])
  list[i] = {
    held[1], found and found[2] or false, held[4], history or false, held[3], mark or false,
  }
end
return list
