--[[
Finish a batch of succeeded first attempts: acknowledge, forget, store results, trim.

KEYS
  1  jobs   stream  calls waiting for, or in, their first attempt
  2  index  hash    job id -> where it is
  3  meta   hash    counters
  4… result keys, one for each result
ARGV
  1  group     the consumer group
  2  consumer  the worker that ran them
  3  floor     everything below this entry was delivered, to anybody, before now
  4  linger    finished entries that may stay in the stream before a batch deletes itself
  5  n         how many entries
  6… n entries, n job ids, then for each result: its place in the batch, TTL in ms, value
RETURNS
  list  the entries that the worker no longer owns; nothing was done for them
]]
local jobs, group, n = KEYS[1], ARGV[1], tonumber(ARGV[5])
-- The worker's own pending list is short: what it runs, and this batch.
local pending = redis.call('XPENDING', jobs, group, '-', '+', 1000000, ARGV[2])
local owned = {}
for i = 1, #pending do owned[pending[i][1]] = true end
local mine, ids, lost = {}, {}, {}
for i = 6, 5 + n do
  if owned[ARGV[i]] then
    mine[#mine + 1] = ARGV[i]
    ids[#ids + 1] = ARGV[i + n]
  else
    lost[#lost + 1] = ARGV[i]
  end
end
if #mine == 0 then return lost end
redis.call('XACK', jobs, group, unpack(mine))
redis.call('HDEL', KEYS[2], unpack(ids))
local at = 6 + 2 * n
for k = 4, #KEYS do
  if owned[ARGV[5 + tonumber(ARGV[at])]] then
    redis.call('SET', KEYS[k], ARGV[at + 2], 'PX', ARGV[at + 1])
  end
  at = at + 3
end
redis.call('HINCRBY', KEYS[3], 'succeeded', #mine)
local left = redis.call('XPENDING', jobs, group)
if left[1] == 0 then
  redis.call('XTRIM', jobs, 'MINID', ARGV[3])
else
  -- An old pending entry holds the trim back: past the limit, pay for XDEL (2 to 8 us an entry).
  if redis.call('XLEN', jobs) > redis.call('HLEN', KEYS[2]) + tonumber(ARGV[4]) then
    redis.call('XDEL', jobs, unpack(mine))
  end
  redis.call('XTRIM', jobs, 'MINID', '~', left[2])
end
return lost
