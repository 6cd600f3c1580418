--[[
Put a job that waits aside for a while, so that nobody starts it, and tell all that is known of it.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  high     stream  those that go before them
  3  low      stream  those that come after them
  4  retries  stream  calls waiting for, or in, a later attempt
  5  due      zset    what becomes runnable when
  6  delayed  hash    job id -> a delayed job: when it was enqueued, its line, its call
  7  index    hash    job id -> where it is
  8  history  hash    job id -> its attempts so far
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  id      the job's id
  4  ms      until it is runnable again, at least
  5  held    what is added to the time of held jobs, so that it never comes
  6  kinds   the letters that may stand before an entry in due
RETURNS
  list  where it is now ('': it does not wait), its call, the letter of its line, when it was
        enqueued (an entry id), attempts used, the letter it had in due ('': none), ms when it was
        due, its attempts so far or nil, then name and value of all else that its entry had
]]
local group, parked, id = ARGV[1], ARGV[2], ARGV[3]
local retries, due, index, history = KEYS[4], KEYS[5], KEYS[7], KEYS[8]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local until_ms, held = now + tonumber(ARGV[4]), tonumber(ARGV[5])
local where = redis.call('HGET', index, id) or ''
local letter, entry = string.sub(where, 1, 1), string.sub(where, 2)
redis.call('ZCARD', due) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[6])
redis.call('HLEN', history)
local function ms(value) return string.format('%.0f', value) end
local function others(fields)
  local first, line, found = false, false, {}
  for i = 3, #fields, 2 do
    if fields[i] == 'first' then first = fields[i + 1]
    elseif fields[i] == 'line' then line = fields[i + 1]
    elseif fields[i] ~= 'history' then
      found[#found + 1], found[#found + 2] = fields[i], fields[i + 1]
    end
  end
  return first, line, found
end
local function answer(place, call, line, first, used, kind, at, past, more)
  local said = { place, call, line, first, used, kind, ms(at), past or false }
  for _, word in ipairs(more) do said[#said + 1] = word end
  return said
end

if letter == 'd' or letter == 'q' then
  local value = redis.call('HGET', KEYS[6], id)
  local at = redis.call('ZSCORE', due, letter .. id)
  if not value or not at then return { '' } end
  local since, line, call = string.match(value, '^(%d+) ([hjl]) (.*)$')
  if not since then return { '' } end
  redis.call('ZADD', due, ms(math.max(tonumber(at), until_ms)), letter .. id)
  return answer(where, call, line, since .. '-0', 0, 'd', tonumber(at),
    redis.call('HGET', history, id), {})
end

if letter == 'r' then
  local owned = redis.call('XPENDING', retries, group, entry, entry, 1)[1]
  local found = redis.call('XRANGE', retries, entry, entry)[1]
  if not owned or owned[2] ~= parked or not found then return { '' } end
  local kind, at = '?', now
  for i = 1, #ARGV[6] do
    local one = string.sub(ARGV[6], i, i)
    local score = redis.call('ZSCORE', due, one .. entry)
    if score then kind, at = one, tonumber(score) end
  end
  redis.call('ZREM', due, kind .. entry)
  if at >= held then at = at - held end
  -- What is held while its function is paused is held by its time from now on.
  if kind == 'p' then kind = '?' elseif kind == 'P' then kind = '!' end
  redis.call('ZADD', due, ms(math.max(at, until_ms)), kind .. entry)
  local first, line, more = others(found[2])
  return answer(where, found[2][2], line or 'j', first or entry, owned[4], kind, at,
    redis.call('HGET', history, id), more)
end

local streams = { j = KEYS[1], h = KEYS[2], l = KEYS[3] }
local stream = streams[letter]
local found = stream and redis.call('XRANGE', stream, entry, entry)[1]
if not found then return { '' } end
-- No group yet (nothing ever read this line) is an error for XPENDING: then nobody has it.
local owned = redis.pcall('XPENDING', stream, group, entry, entry, 1)
if not owned.err and #owned > 0 then return { '' } end
redis.call('XPENDING', retries, group, '-', '+', 1) -- no group there must fail now
local fields = found[2]
local first, _, more = others(fields)
local past
for i = 3, #fields, 2 do if fields[i] == 'history' then past = fields[i + 1] end end
-- As one that was given back, not started: parked in the retries, with no attempt used.
local new = { id, fields[2], 'first', first or entry }
if letter ~= 'j' then new[#new + 1], new[#new + 2] = 'line', letter end
for _, word in ipairs(more) do new[#new + 1] = word end
-- Deletes nothing, but counts as a write: after one a full Redis lets XADD pass.
redis.call('XDEL', stream, '0-0')
local parked_at = redis.call('XADD', retries, '*', unpack(new))
redis.pcall('XACK', stream, group, entry)
redis.call('XDEL', stream, entry)
local mine = false
while not mine do
  local read = redis.call('XREADGROUP', 'GROUP', group, parked, 'COUNT', 100, 'STREAMS', retries, '>')
  if not read then break end
  for _, got in ipairs(read[1][2]) do
    if got[1] == parked_at then mine = true else redis.call('ZADD', due, now, '?' .. got[1]) end
  end
end
redis.call('XCLAIM', retries, group, parked, 0, parked_at, 'RETRYCOUNT', 0, 'JUSTID')
redis.call('ZADD', due, ms(until_ms), '?' .. parked_at)
redis.call('HSET', index, id, 'r' .. parked_at)
if past then redis.call('HSET', history, id, past) end
return answer('r' .. parked_at, fields[2], letter, first or entry, 0, '', now, past, more)
