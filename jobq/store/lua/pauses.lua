--[[
Look at what is paused in a queue: end what is over, and give free a page of what is held no more.

KEYS
  1  pauses  hash  job function -> since when it is paused, by whom; *: all of them
  2  due     zset  what becomes runnable when
  3  meta    hash  counters; `unhold`: when a job function was resumed, in ms, and how often held
                   jobs were given free since
ARGV
  1  held   what is added to the time of held jobs, so that it never comes
  2  count  how many to give free at most
  3… ms after a resume at which to give them free, rising: a worker may put one aside meanwhile
RETURNS
  list  Redis time in ms, 1 when there may be more to give free at once, then the name and the
        record of each pause
]]
local pauses, due, meta = KEYS[1], KEYS[2], KEYS[3]
local held = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ms(value) return string.format('%.0f', value) end
local every = redis.call('HGETALL', pauses)
local some = redis.call('ZRANGEBYSCORE', due, ARGV[1], '+inf', 'LIMIT', 0, 1)
local unhold = redis.call('HGET', meta, 'unhold') -- wrong types fail before the first write
local seen, jobs, ended = { now, 0 }, false, false
for i = 1, #every, 2 do
  local ends = string.match(every[i + 1], '^%d+ (%d+) ')
  if ends and ends ~= '0' and tonumber(ends) <= now then
    redis.call('HDEL', pauses, every[i])
    ended = ended or every[i] ~= '*'
  else
    seen[#seen + 1], seen[#seen + 2] = every[i], every[i + 1]
    jobs = jobs or every[i] ~= '*'
  end
end
if #some == 0 and not unhold and not ended then return seen end
-- With no job function paused, nothing is held. Else all that was put aside by now is given free,
-- and what is still paused is put aside by the next worker once more: nobody here can read whose
-- jobs they are.
local before, at, step = '+inf', now, 3
if jobs then
  if not ended then
    if not unhold then return seen end
    local from, times = string.match(unhold, '^(%d+) (%d+)$')
    if from then at, step = tonumber(from), 3 + tonumber(times) end
  end
  local next = at + tonumber(ARGV[step] or '0')
  if now < next then return seen end
  before = ms(held + next)
end
redis.call('HDEL', meta, 'unhold') -- after it, a full Redis lets the rest pass
local page = redis.call('ZRANGEBYSCORE', due, ARGV[1], before, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #page, 2 do
  local letter = string.sub(page[i], 1, 1) == 'P' and '!' or '?'
  redis.call('ZREM', due, page[i])
  redis.call('ZADD', due, ms(page[i + 1] - held), letter .. string.sub(page[i], 2))
end
if #page == 2 * tonumber(ARGV[2]) then seen[2] = 1 else step = step + 1 end
if jobs and ARGV[step] then redis.call('HSET', meta, 'unhold', ms(at) .. ' ' .. ms(step - 3)) end
return seen
