--[[
Put one call into a queue unless a job has its uniqueness key; or put it in the place of that job's.

A lock is a note that names a job. It holds only while what the index says of that job fits, so no
crash can leave one behind, and nothing that ends a job has to know of it.

KEYS
  1  jobs     stream  calls waiting for their first attempt
  2  high     stream  those that go before them
  3  low      stream  those that come after them
  4  index    hash    job id -> where it is
  5  lanes    zset    lane -> the number of its last call
  6  unique   hash    key -> mode, until, since, job id; key~ -> until, job id, times; @job id -> key
  7  delayed  hash    job id -> a job that is delayed or can be replaced
  8  due      zset    what becomes runnable when
  9  retries  stream  calls waiting for, or in, a later attempt
 10  cancels  hash    job id -> where it ran when it was not to wait again
 11  dead     stream  dead letters
 12  tally    hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  lane      the producer connection that sends
  2  number    of this call, rising within the lane
  3  key       the uniqueness key
  4  id        of the job, if there will be a new one
  5  call      the encoded call
  6  signed    the id that the call is signed for; empty: it is not signed
  7  letter    of the line, as in the index
  8  delay     ms until it is due; -1: no time was asked for
  9  at        Redis time in ms at which it is due instead; 0: as the delay says
 10  mode      the job has the key until it starts: s; is done: d; for a time: t; not at all: -
 11  holds     ms that it has it, with t
 12  conflict  when a job has it: e: leave all as it is, x: the same, r: take the place of its call
 13  debounce  ms from the last call until the job is due; 0: it is no such call
 14  longest   ms from the first of such calls
 15  count     jobs that may be added in any window; 0: any number
 16  window    ms
 17  most      jobs that the queue may have, in any state; 0: any number
 18  group     the consumer group
 19  parked    the parking consumer
 20  kinds     the letters that may stand before an entry in due
 21  held      what is added to the time of a held job, so that it never comes
RETURNS
  list  added, held or replaced, and the job's id; or throttled, and the id of the last one added;
        or sign, and the id that the call must be signed for; or full, how many jobs the queue has,
        how many of them are dead letters; or unknown: this is a resend, and it cannot be told
        what became of the first try
]]
local streams = { j = KEYS[1], h = KEYS[2], l = KEYS[3] }
local index, unique, delayed, due, retries = KEYS[4], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local key, own, letter = ARGV[3], ARGV[4], ARGV[7]
local mode, conflict, debounce = ARGV[10], ARGV[12], tonumber(ARGV[13])
local group, number = ARGV[18], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(value) return string.format('%.0f', value) end

local function place(id)
  local where = redis.call('HGET', index, id) or ''
  return string.sub(where, 1, 1), string.sub(where, 2), where
end

-- Tell whether a live job waits, and whether it was never started.
local function waiting(where, entry)
  if where == 'd' or where == 'q' then return true, true end
  local stream = where == 'r' and retries or streams[where]
  if not stream then return false, false end
  redis.call('XLEN', stream) -- a wrong type is an error, and a group that is not there yet is none
  local held = redis.pcall('XPENDING', stream, group, entry, entry, 1)
  if held.err then
    local real = string.match(entry, '^%d+%-%d+$') ~= nil
    return real, real and where ~= 'r'
  end
  if #held == 0 then return true, where ~= 'r' end
  local parked = where == 'r' and held[1][2] == ARGV[19]
  return parked, parked and tonumber(held[1][4]) == 0
end

local function lock_of(name)
  local kind, till, since, id = string.match(
    redis.call('HGET', unique, name) or '', '^([sdt]) (%d+) (%d+) (%S+)$')
  return kind and { mode = kind, till = tonumber(till), since = tonumber(since), id = id }
end

local function holds(lock)
  local where, entry = place(lock.id)
  if where == 'x' then return false end
  -- One from a future that is longer away than it holds: the clock was set back since.
  if lock.mode == 't' then
    return lock.till > now and lock.since - now <= lock.till - lock.since
  end
  if where == '' or lock.mode == 'd' then return where ~= '' end
  local _, fresh = waiting(where, entry)
  return fresh
end

-- Wrong types must fail before the first write.
redis.call('HLEN', delayed)
redis.call('ZCARD', due)
redis.call('XLEN', retries)
redis.call('HLEN', KEYS[10])
local lock = lock_of(key)
local count, window = tonumber(ARGV[15]), tonumber(ARGV[16])
local newest, times = '', {}
if count > 0 then
  local known, list = string.match(redis.call('HGET', unique, key .. '~') or '', '^%d+ (%S+)(.*)$')
  newest = known or ''
  for at in string.gmatch(list or '', '%d+') do
    -- The same: of a clock that was set back, no more is kept than a window.
    if math.abs(tonumber(at) - now) < window then times[#times + 1] = at end
  end
end

local last = tonumber(redis.call('ZSCORE', KEYS[5], ARGV[1]) or '-1')
if last >= number then
  -- Only what was added or replaced moves the lane on. Of a call before its last one, all that is
  -- known is that it has arrived; what it came to is read off what it left.
  local named = lock and lock.id or ''
  if redis.call('HEXISTS', index, own) == 1 or named == own or newest == own then
    return { 'added', own }
  end
  if conflict == 'r' then
    if lock and (last == number or holds(lock)) then return { 'replaced', named } end
  elseif last == number then
    return { 'added', own }
  elseif conflict == 'e' then
    if lock and holds(lock) then return { 'held', named } end
    if newest ~= '' then return { 'throttled', newest } end
  end
  return { 'unknown' }
end

local asked = tonumber(ARGV[9])
if asked == 0 then asked = now + math.max(0, tonumber(ARGV[8])) end
local timed = ARGV[9] ~= '0' or ARGV[8] ~= '-1'

-- The job that is to be replaced where it waits; or, where it runs, is not to wait again.
local replaced
local superseded
if lock and conflict == 'r' then
  local where, entry, whole = place(lock.id)
  if where ~= '' and where ~= 'x' then
    local waits, fresh = waiting(where, entry)
    if waits then
      replaced = { where = where, entry = entry, fresh = fresh }
    else
      superseded = whole
    end
  end
elseif lock and holds(lock) then
  return { 'held', lock.id }
end
if not replaced then
  if count > 0 and #times >= count then return { 'throttled', newest } end
  local size = redis.call('HLEN', index)
  if tonumber(ARGV[17]) > 0 and size >= tonumber(ARGV[17]) then
    return { 'full', size, redis.call('XLEN', KEYS[11]) }
  end
end
local id = replaced and lock.id or own
if ARGV[6] ~= '' and ARGV[6] ~= id then return { 'sign', id } end

local value = text(now) .. ' ' .. letter .. ' ' .. ARGV[5]
local since = now
if replaced then
  local where, entry = replaced.where, replaced.entry
  if replaced.fresh then since = lock.since end
  local members = where == 'r' and {} or { where .. id }
  if where == 'r' then
    for kind in string.gmatch(ARGV[20], '.') do members[#members + 1] = kind .. entry end
  end
  -- It keeps its time, also one that is over: pushed back by each call, it might never come.
  local at = tonumber(string.match(entry, '^%d+')) or now
  for _, member in ipairs(members) do
    local score = tonumber(redis.call('ZSCORE', due, member) or '-1')
    if score >= tonumber(ARGV[21]) then score = score - ARGV[21] end
    if score >= 0 then at = score end
  end
  if debounce > 0 then
    at = math.min(now + debounce, since + tonumber(ARGV[14]))
  elseif timed then
    at = asked
  end
  redis.call('HSET', delayed, id, value) -- first, for a full Redis refuses it
  redis.call('ZADD', due, text(at), 'q' .. id)
  redis.call('HSET', index, id, 'q')
  if where == 'r' then
    redis.pcall('XACK', retries, group, entry)
    redis.call('XDEL', retries, entry)
    redis.call('ZREM', due, unpack(members))
  elseif streams[where] then
    redis.call('XDEL', streams[where], entry)
  elseif where == 'd' then
    redis.call('ZREM', due, 'd' .. id)
  end
elseif debounce > 0 or asked > now then
  local kind = debounce > 0 and 'q' or 'd'
  redis.call('HSET', delayed, id, value)
  if debounce > 0 then asked = now + math.min(debounce, tonumber(ARGV[14])) end
  redis.call('ZADD', due, text(asked), kind .. id)
  redis.call('HSET', index, id, kind)
else
  -- A stranger's entry with the greatest id of all makes this fail, so it comes first.
  local entry = redis.call('XADD', streams[letter], '*', id, ARGV[5])
  redis.call('HSET', index, id, letter .. entry)
end
if superseded then redis.call('HSET', KEYS[10], lock.id, superseded) end
if mode ~= '-' then
  if lock and lock.mode == 't' then redis.call('HDEL', unique, '@' .. lock.id) end
  local till = mode == 't' and now + tonumber(ARGV[11]) or 0
  redis.call('HSET', unique, key, table.concat({ mode, text(till), text(since), id }, ' '))
  if mode == 't' then redis.call('HSET', unique, '@' .. id, key) end
end
if count > 0 then
  times[#times + 1] = text(now)
  redis.call('HSET', unique, key .. '~',
    table.concat({ text(now + window), id, table.concat(times, ' ') }, ' '))
end
redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
if not replaced then count_in(KEYS[12], now, (job_of(ARGV[5])), 'e 1') end

-- Notes that say nothing any more go a few at a time; supervisors look for the rest.
for _, name in ipairs(redis.call('HRANDFIELD', unique, 3)) do
  local stale
  if string.sub(name, -1) == '~' then
    local till = string.match(redis.call('HGET', unique, name), '^(%d+) ')
    stale = not till or tonumber(till) <= now
  elseif string.match(name, '^@[^:]*$') then
    local other = lock_of(redis.call('HGET', unique, name))
    stale = not other or '@' .. other.id ~= name
  else
    local other = lock_of(name)
    local where = other and place(other.id)
    stale = not other or where == 'x' or where == '' and (other.mode ~= 't' or other.till <= now)
  end
  if stale and name ~= key then redis.call('HDEL', unique, name) end
end
return { replaced and 'replaced' or 'added', id }
