--[[
Finish a batch of succeeded first attempts: acknowledge, forget, store results, trim.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  index    hash    job id -> where it is
  3  meta     hash    counters
  4  cancels  hash    job id -> where it ran when its cancel was asked for
  5  tally    hash    minute, key and job function -> a number that is in no row yet
  6… result keys, one for each result, or the checkpoint of a job
ARGV
  1  group     the consumer group
  2  consumer  the worker that ran them
  3  linger    finished entries that may stay in the stream before a batch deletes itself
  4  held      how many entries of the stream the worker holds; -1: it cannot tell
  5  n         how many entries
  6… n entries, n job ids, then for each result: its place in the batch, TTL in ms (0: the key
    is deleted), value; then for each job function: its name, what is counted of it
RETURNS
  list  the entries that the worker no longer owns; nothing was done for them. When the first
        one is empty, nothing was done for any: what is to be counted is not true of the others
]]
local jobs, group, n = KEYS[1], ARGV[1], tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Where the names begin of what is counted.
local counted = 6 + 2 * n + 3 * (#KEYS - 5)
local lost = {}
local owned, done
local before = redis.call('XPENDING', jobs, group)
redis.call('HLEN', KEYS[2]) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[3])
local marks = redis.call('HLEN', KEYS[4])
local count = '0'
for _, consumer in ipairs(before[4] or {}) do
  if consumer[1] == ARGV[2] then count = consumer[2] end
end
-- An entry leaves the pending list only when it is finished or taken over: if as many are there
-- as the worker holds, they are the same, and the walk through them is saved.
if count ~= ARGV[4] then
  owned = {}
  for _, held in ipairs(redis.call('XPENDING', jobs, group, '-', '+', 1000000, ARGV[2])) do
    owned[held[1]] = true
  end
  local mine, ids = {}, {}
  for i = 6, 5 + n do
    if owned[ARGV[i]] then
      mine[#mine + 1], ids[#ids + 1] = ARGV[i], ARGV[i + n]
    else
      lost[#lost + 1] = ARGV[i]
    end
  end
  if #mine == 0 then return lost end
  if #lost > 0 and #ARGV >= counted then return { '', unpack(lost) } end
  done = redis.call('XACK', jobs, group, unpack(mine))
  redis.call('HDEL', KEYS[2], unpack(ids))
  if marks > 0 then redis.call('HDEL', KEYS[4], unpack(ids)) end
else
  done = redis.call('XACK', jobs, group, unpack(ARGV, 6, 5 + n))
  redis.call('HDEL', KEYS[2], unpack(ARGV, 6 + n, 5 + 2 * n))
  if marks > 0 then redis.call('HDEL', KEYS[4], unpack(ARGV, 6 + n, 5 + 2 * n)) end
end
local at = 6 + 2 * n
for k = 6, #KEYS do
  if not owned or owned[ARGV[5 + tonumber(ARGV[at])]] then
    if ARGV[at + 1] == '0' then
      redis.call('DEL', KEYS[k])
    else
      redis.call('SET', KEYS[k], ARGV[at + 2], 'PX', ARGV[at + 1])
    end
  end
  at = at + 3
end
-- pcall: text that a stranger put in the place of a number must not end this half-way
redis.pcall('HINCRBY', KEYS[3], 'succeeded', done)
for i = counted, #ARGV, 2 do count_in(KEYS[5], now, ARGV[i], ARGV[i + 1]) end
if before[1] == done then
  -- Nothing is pending: all that this group has delivered is finished. What an earlier group had
  -- delivered may lie beyond, and is still to come.
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', jobs)) do
    local name, last
    for i = 1, #info, 2 do
      if info[i] == 'name' then name = info[i + 1] end
      if info[i] == 'last-delivered-id' then last = info[i + 1] end
    end
    if name == group then
      local ms, seq = string.match(last, '(%d+)-(%d+)')
      redis.call('XTRIM', jobs, 'MINID', ms .. '-' .. string.format('%.0f', seq + 1))
    end
  end
  return lost
end
-- An old pending entry holds the trim back: past the limit, pay for XDEL (2 to 8 us an entry).
if redis.call('XLEN', jobs) > redis.call('HLEN', KEYS[2]) + tonumber(ARGV[3]) then
  for i = 6, 5 + n do
    if not owned or owned[ARGV[i]] then redis.call('XDEL', jobs, ARGV[i]) end
  end
end
local oldest = redis.call('XPENDING', jobs, group)[2]
if oldest then redis.call('XTRIM', jobs, 'MINID', '~', oldest) end
return lost
