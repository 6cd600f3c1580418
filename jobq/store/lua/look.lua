--[[
Look at one job: where it is, who has it, what it is, and its result. Writes nothing.

KEYS
  1  index    hash    job id -> where it is
  2  result   string  the result of the job
  3  jobs     stream  calls waiting for, or in, their first attempt
  4  retries  stream  calls waiting for, or in, a later attempt
  5  dead     stream  dead letters
  6  due      zset    what becomes runnable when
  7  history  hash    job id -> its attempts so far
  8  delayed  hash    job id -> a delayed job: when it was enqueued, its line, its call
  9  high     stream  as jobs, those that go before them
 10  low      stream  as jobs, those that come after them
ARGV
  1  group  the consumer group
  2  id     the job's id
  3  kinds  the letters that may stand before an entry in due
RETURNS
  list  where ('' for nowhere), fields, consumer, idle ms, delivery count, due at ms, history,
        result, the letter before it in due ('' for none), Redis time in ms
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local where = redis.call('HGET', KEYS[1], ARGV[2]) or ''
local seen = { where, false, false, -1, 0, -1, false, redis.call('GET', KEYS[2]), '', now }
if where == '' then return seen end
local letter, entry = string.sub(where, 1, 1), string.sub(where, 2)
local function due(kind, name)
  local at = redis.call('ZSCORE', KEYS[6], kind .. name)
  if at then seen[6], seen[9] = math.floor(tonumber(at)), kind end
end
if letter == 'd' or letter == 'q' then
  local value = redis.call('HGET', KEYS[8], ARGV[2])
  if value then
    local since, line, call = string.match(value, '^(%d+) ([hjl]) (.*)$')
    seen[2] = { ARGV[2], call or value, 'first', (since or '0') .. '-0', 'line', line or 'j' }
  end
  due(letter, ARGV[2])
  seen[7] = redis.call('HGET', KEYS[7], ARGV[2])
  return seen
end
local streams = { j = KEYS[3], h = KEYS[9], l = KEYS[10], r = KEYS[4] }
local stream = streams[letter] or KEYS[5]
local found = redis.call('XRANGE', stream, entry, entry)[1]
if found then seen[2] = found[2] end
if letter == 'x' then return seen end
-- No group yet (nothing ever read this queue) is an error for XPENDING, and no news for us.
local held = redis.pcall('XPENDING', stream, ARGV[1], entry, entry, 1)
if not held.err and #held == 1 then
  seen[3], seen[4], seen[5] = held[1][2], held[1][3], held[1][4]
end
if letter == 'r' then
  for i = 1, #ARGV[3] do
    due(string.sub(ARGV[3], i, i), entry)
  end
  seen[7] = redis.call('HGET', KEYS[7], ARGV[2])
end
return seen
