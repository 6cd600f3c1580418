--[[
Make the consumer groups of a queue; after a loss, without running what has finished again.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  due      zset    what becomes runnable when
  4  index    hash    job id -> where it is
  5  history  hash    job id -> its attempts so far
  6  meta     hash    counters; remembers that there was a group
  7  cancels  hash    job id -> where it ran when its cancel was asked for
  8  results  any     no key, but what stands before the job's id in the key of each result
  9  high     stream  as jobs, those that go before them; it gets a group only where it is there
 10  low      stream  as jobs, those that come after them; the same
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  ttl     TTL in ms of the word for those who wait for the result of one that was cancelled
  4  value   that word, encoded
  5  kinds   the letters that may stand before an entry in due
RETURNS
  n  how many finished entries were deleted, which a new group would have delivered again
]]
local jobs, retries, due, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local others = { h = KEYS[9], l = KEYS[10] }
redis.call('XLEN', retries) -- wrong types must fail before the first write
redis.call('ZCARD', due)
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
redis.call('HLEN', KEYS[7])
for letter, stream in pairs(others) do
  -- Where a stranger has made the key of a line, that line is not in use.
  if type(redis.pcall('XLEN', stream)) ~= 'number' then others[letter] = nil end
end
redis.call('XDEL', jobs, '0-0') -- deletes nothing; after it, a full Redis lets all the rest pass
-- Who ran it is not known any more, and with it nobody who could end it: it ends here.
local function cancelled(stream, where, id)
  if redis.call('HGET', KEYS[7], id) ~= where then return false end
  local entry = string.sub(where, 2)
  redis.pcall('XACK', stream, group, entry)
  redis.call('XDEL', stream, entry)
  redis.call('HDEL', KEYS[4], id)
  redis.call('HDEL', KEYS[5], id)
  redis.call('HDEL', KEYS[7], id)
  -- The ids are in the entries, so no caller can name the keys of their results; the hash tag
  -- of the prefix is that of the queue, and with it the slot.
  redis.call('SET', KEYS[8] .. id, ARGV[4], 'PX', ARGV[3])
  -- pcall: text that a stranger put in the place of a number must not end this half-way
  redis.pcall('HINCRBY', KEYS[6], 'cancelled', 1)
  return true
end

local function regroup(stream, letter, flag)
  local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
  if made.err then
    if not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
    redis.call('HSET', KEYS[6], flag, 1)
    return 0
  end
  local deleted, from = 0, '-'
  -- Entries linger after they finished (trim, do not delete): only the index says which.
  while redis.call('HEXISTS', KEYS[6], flag) == 1 do
    local some = redis.call('XRANGE', stream, from, '+', 'COUNT', 1000)
    local done = {}
    for _, entry in ipairs(some) do
      local where = letter .. entry[1]
      if redis.call('HGET', KEYS[4], entry[2][1]) ~= where then
        done[#done + 1] = entry[1]
      else
        cancelled(stream, where, entry[2][1])
      end
    end
    if #done > 0 then deleted = deleted + redis.call('XDEL', stream, unpack(done)) end
    if #some < 1000 then break end
    from = '(' .. some[#some][1]
  end
  redis.call('HSET', KEYS[6], flag, 1)
  return deleted
end

local deleted = regroup(jobs, 'j', 'grouped')
if type(deleted) == 'table' then return deleted end
for letter, stream in pairs(others) do
  -- Most queues never use them: they get no group before they have a job.
  if redis.call('EXISTS', stream) == 1 then
    local more = regroup(stream, letter, 'grouped ' .. letter)
    if type(more) == 'table' then return more end
    deleted = deleted + more
  end
end
local made = redis.pcall('XGROUP', 'CREATE', retries, group, '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return deleted end
  return made
end
local function is_timed(entry)
  for i = 1, #ARGV[5] do
    if redis.call('ZSCORE', due, string.sub(ARGV[5], i, i) .. entry) then return true end
  end
  return false
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
while true do
  local read = redis.call('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', 1000, 'STREAMS', retries, '>')
  if not read then return deleted end
  for _, got in ipairs(read[1][2]) do
    if not is_timed(got[1]) and not cancelled(retries, 'r' .. got[1], got[2][1]) then
      redis.call('ZADD', due, now, '?' .. got[1])
    end
  end
end
