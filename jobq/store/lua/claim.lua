--[[
Take what is due: retries from the parking consumer, their attempt counted; replaceable jobs too.

A replaceable job becomes an entry only now, in its first attempt: until a worker takes it, its
arguments can be replaced.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
  3  history  hash    job id -> its attempts so far
  4  delayed  hash    job id -> a delayed job: when it was enqueued, its line, its call
  5  index    hash    job id -> where it is
ARGV
  1  group     the consumer group
  2  consumer  the worker that takes them
  3  parked    the parking consumer
  4  limit     how many at most
  5  kinds     the letters of what this worker may take
  6  any       the letter of what all may take: replaceable jobs are such
  7  held      what is added to the time of held retries, so that it never comes
RETURNS
  list  ms until to look again: 0 when there may be more, else until the next one is due (-1: none
        will be soon), then for each taken: entry, fields, attempt, history or nil
]]
local retries, due, group, consumer, parked = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local limit, kinds = tonumber(ARGV[4]), ARGV[5]
if string.find(kinds, ARGV[6], 1, true) then kinds = kinds .. 'q' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = { -1 }
local fresh, failed = {}, nil
local function number(value) return string.format('%.0f', value) end
local function take(member)
  local entry = string.sub(member, 2)
  local held = redis.pcall('XPENDING', retries, group, entry, entry, 1)
  -- A stranger's member may be no entry at all: that is dropped. Any other error is one.
  if held.err and not string.find(held.err, 'Invalid stream ID', 1, true) then return held end
  redis.call('ZREM', due, member)
  if held.err or #held == 0 or held[1][2] ~= parked then return end
  local got = redis.call('XCLAIM', retries, group, consumer, 0, entry)[1]
  if got then
    local history = redis.call('HGET', KEYS[3], got[2][1])
    taken[#taken + 1] = { entry, got[2], held[1][4] + 1, history }
  else
    redis.call('XACK', retries, group, entry) -- 6.2 keeps the ids of deleted entries
  end
end

local function begin(member)
  local id = string.sub(member, 2)
  local value = redis.call('HGET', KEYS[4], id)
  local ours = redis.call('HGET', KEYS[5], id) == 'q'
  if not value or not ours then -- somebody has deleted the one or written over the other
    redis.call('ZREM', due, member)
    if ours then redis.call('HDEL', KEYS[5], id) end
    return
  end
  redis.call('XPENDING', retries, group, '-', '+', 1) -- no group must fail before XADD
  local since, letter, call = string.match(value, '^(%d+) ([hjl]) (.*)$')
  -- A stranger has written over it: a worker buries what it cannot read.
  if not since then since, letter, call = number(now), 'j', value end
  local at = number(math.floor(tonumber(redis.call('ZSCORE', due, member))))
  local fields = { id, call, 'first', since .. '-0', 'ready', at }
  if letter ~= 'j' then fields[7], fields[8] = 'line', letter end
  redis.call('XDEL', retries, '0-0') -- deletes nothing; after it, a full Redis lets XADD pass
  local entry = redis.pcall('XADD', retries, '*', unpack(fields))
  if type(entry) == 'table' then
    failed = entry
    return
  end
  redis.call('ZREM', due, member)
  redis.call('HDEL', KEYS[4], id)
  redis.call('HSET', KEYS[5], id, 'r' .. entry)
  fresh[#fresh + 1] = entry
  taken[#taken + 1] = { entry, fields, 1, redis.call('HGET', KEYS[3], id) }
end

-- What other kinds of worker must take may stand in front: look further only when it does.
for _, window in ipairs({ limit + 100, 5000 }) do
  local ready = {}
  if #taken <= limit then
    ready = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, window)
  end
  if #ready > 0 then -- wrong types must fail before the first write
    redis.call('HLEN', KEYS[3])
    redis.call('HLEN', KEYS[4])
    redis.call('HLEN', KEYS[5])
  end
  for _, member in ipairs(ready) do
    if #taken > limit then break end
    -- Only a stranger adds an empty member: whoever sees it removes it.
    local kind = string.sub(member, 1, 1)
    if kind == '' or string.find(kinds, kind, 1, true) then
      local lost
      if kind ~= 'q' then lost = take(member) elseif not failed then begin(member) end
      if lost then return lost end
    end
  end
  if #ready < window then break end
end
if failed and #taken == 1 then return failed end
while #fresh > 0 do
  -- What a stranger added before ours is parked: whoever takes it will bury it.
  local read = redis.call('XREADGROUP', 'GROUP', group, parked, 'COUNT', 100, 'STREAMS', retries, '>')
  if not read then break end
  local ours = {}
  for _, got in ipairs(read[1][2]) do
    if got[1] == fresh[1] then
      ours[#ours + 1] = table.remove(fresh, 1)
    else
      redis.call('ZADD', due, now, '?' .. got[1])
    end
  end
  for _, entry in ipairs(ours) do
    redis.call('XCLAIM', retries, group, consumer, 0, entry, 'RETRYCOUNT', 1, 'JUSTID')
  end
end
if #taken > limit then
  taken[1] = 0 -- there may be more
else
  -- Delayed jobs need no look: they come into their stream, and end every wait.
  local next = redis.call('ZRANGEBYSCORE', due, '(' .. number(now), '(' .. ARGV[7],
    'WITHSCORES', 'LIMIT', 0, 10)
  for i = 1, #next, 2 do
    if string.sub(next[i], 1, 1) ~= 'd' then
      taken[1] = math.ceil(tonumber(next[i + 1])) - now
      break
    end
  end
end
return taken
