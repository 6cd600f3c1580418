--[[
Move delayed jobs that are due to the streams that workers read, and tell what else is due.

KEYS
  1  due      zset    what becomes runnable when
  2  delayed  hash    job id -> a delayed job: when it was enqueued, its line, its call
  3  index    hash    job id -> where it is
  4  jobs     stream  calls waiting for, or in, their first attempt
  5  high     stream  those that go before them
  6  low      stream  those that come after them
ARGV
  1  limit  how many of what is due to look at
  2  from   the time in ms from which to look at it; '-inf' from the start
  3  skip   how many at exactly that time have been looked at
  4  held   what is added to the time of held retries, so that it never comes
  5  bytes  of calls after which no more are moved
RETURNS
  list  Redis time in ms; the letters of what is due now and for workers to take; ms when the next
        thing is due (-1: nothing is); how many were moved; how many had no call and were dropped;
        1 when there may be more to move at once; from and skip for the next time; which of
        high (1) and low (2) are in use, added up
]]
local due, delayed, index = KEYS[1], KEYS[2], KEYS[3]
local streams = { j = KEYS[4], h = KEYS[5], l = KEYS[6] }
local limit, from, skip = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function number(value) return string.format('%.0f', value) end
-- The clock was set back: what is added from now on can be due before what was looked at last.
if from ~= '-inf' and tonumber(from) > now then from, skip = '-inf', 0 end

-- Everything is read first: wrong types must fail before the first write.
local ready, seen = '', {}
local front = redis.call('ZRANGEBYSCORE', due, '-inf', number(now), 'LIMIT', 0, 100)
for _, member in ipairs(front) do
  local letter = string.sub(member, 1, 1)
  if letter ~= 'd' and not seen[letter] then
    seen[letter] = true
    ready = ready .. letter
  end
end
local page = {}
if #front > 0 then
  -- Workers may have taken what was seen at that time: nothing later is skipped in its place.
  if skip > 0 then skip = math.min(skip, redis.call('ZCOUNT', due, from, from)) end
  page = redis.call('ZRANGEBYSCORE', due, from, number(now), 'WITHSCORES', 'LIMIT', skip, limit)
end
local ids, at, calls, places = {}, {}, {}, {}
local looked, bytes = 0, 0
for i = 1, #page, 2 do
  if bytes >= tonumber(ARGV[5]) then break end
  looked = looked + 1
  if string.sub(page[i], 1, 1) == 'd' then
    local id = string.sub(page[i], 2)
    local call = redis.call('HGET', delayed, id)
    ids[#ids + 1] = id
    at[#at + 1] = math.floor(tonumber(page[i + 1]))
    calls[#ids] = call
    bytes = bytes + #(call or '')
  end
end
if #ids > 0 then
  places = redis.call('HMGET', index, unpack(ids))
  for _, stream in pairs(streams) do redis.call('XLEN', stream) end
end

local members, gone, where = {}, {}, {}
local moved, lost, failed = 0, {}, nil
if #ids > 0 then
  -- Deletes nothing, but counts as a write: after one a full Redis lets XADD pass. And XADD comes
  -- before the rest, for a stranger's entry with the greatest id of all makes it fail.
  redis.call('XDEL', streams.j, '0-0')
end
for i, id in ipairs(ids) do
  local added = true
  if calls[i] then
    local since, letter, call = string.match(calls[i], '^(%d+) ([hjl]) (.*)$')
    if not since then -- a stranger has written over it: a worker buries what it cannot read
      since, letter, call = number(now), 'j', calls[i]
    end
    local entry = redis.pcall('XADD', streams[letter], '*', id, call,
      'first', since .. '-0', 'ready', number(at[i]))
    if type(entry) == 'table' then
      failed, added = entry, false
    else
      moved = moved + 1
      where[#where + 1], where[#where + 2] = id, letter .. entry
    end
  elseif places[i] == 'd' then
    lost[#lost + 1] = id
  end
  if added then members[#members + 1], gone[#gone + 1] = 'd' .. id, id end
end
if #gone > 0 then
  redis.call('ZREM', due, unpack(members))
  redis.call('HDEL', delayed, unpack(gone))
end
if #lost > 0 then redis.call('HDEL', index, unpack(lost)) end
if #where > 0 then redis.call('HSET', index, unpack(where)) end
if failed and moved == 0 then return failed end

local more = 0
if #page > 0 then
  local last = page[2 * looked]
  -- What is left at the last time is looked at again, but for what has been seen there before.
  if last == from then skip = skip + looked - #gone else from, skip = last, 0 end
  if looked == limit or 2 * looked < #page then more = 1 end
end
local next = redis.call('ZRANGEBYSCORE', due, '(' .. number(now), '(' .. ARGV[4],
  'WITHSCORES', 'LIMIT', 0, 1)[2]
-- A stranger may have made the key of a line that nobody uses.
local lines = 0
for bit, stream in ipairs({ streams.h, streams.l }) do
  if redis.call('EXISTS', stream) == 1 and type(redis.pcall('XLEN', stream)) == 'number' then
    lines = lines + bit
  end
end
return {
  now, ready, next and math.ceil(tonumber(next)) or -1, moved, #lost, more, from, skip, lines,
}
