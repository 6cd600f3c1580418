--[[
Take retries that are due: each from the parking consumer to this worker, its attempt counted.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
  3  history  hash    job id -> its attempts so far
ARGV
  1  group     the consumer group
  2  consumer  the worker that takes them
  3  parked    the parking consumer
  4  limit     how many at most
  5  kinds     the letters of what this worker may take
RETURNS
  list  ms until to look again: 0 when there may be more, else until the next one is due (-1: none
        will be), then for each taken: entry, fields, attempt, history or nil
]]
local retries, due, group = KEYS[1], KEYS[2], ARGV[1]
local limit = tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken = { -1 }
redis.call('HLEN', KEYS[3]) -- a wrong type must fail before the first write
local function take(member)
  local entry = string.sub(member, 2)
  local held = redis.pcall('XPENDING', retries, group, entry, entry, 1)
  -- A stranger's member may be no entry at all: that is dropped. Any other error is one.
  if held.err and not string.find(held.err, 'Invalid stream ID', 1, true) then return held end
  redis.call('ZREM', due, member)
  if held.err or #held == 0 or held[1][2] ~= ARGV[3] then return end
  local got = redis.call('XCLAIM', retries, group, ARGV[2], 0, entry)[1]
  if got then
    local history = redis.call('HGET', KEYS[3], got[2][1])
    taken[#taken + 1] = { entry, got[2], held[1][4] + 1, history }
  else
    redis.call('XACK', retries, group, entry) -- 6.2 keeps the ids of deleted entries
  end
end

-- What other kinds of worker must take may stand in front: look further only when it does.
for _, window in ipairs({ limit + 100, 5000 }) do
  local ready = {}
  if #taken <= limit then
    ready = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, window)
  end
  for _, member in ipairs(ready) do
    if #taken > limit then break end
    -- Only a stranger adds an empty member: whoever sees it removes it.
    local kind = string.sub(member, 1, 1)
    if kind == '' or string.find(ARGV[5], kind, 1, true) then
      local lost = take(member)
      if lost then return lost end
    end
  end
  if #ready < window then break end
end
if #taken > limit then
  taken[1] = 0 -- there may be more
else
  local next = redis.call('ZRANGEBYSCORE', due, '(' .. string.format('%.0f', now), '+inf',
    'WITHSCORES', 'LIMIT', 0, 1)
  if next[2] then taken[1] = tonumber(next[2]) - now end
end
return taken
