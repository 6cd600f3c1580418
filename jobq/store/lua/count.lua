--[[
Count the jobs of a queue by state, without walking through them. Writes nothing.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  dead     stream  dead letters
  4  due      zset    what becomes runnable when
  5  index    hash    job id -> where it is
  6  meta     hash    counters
  7  delayed  hash    job id -> a delayed job
  8  high     stream  as jobs, those that go before them
  9  low      stream  as jobs, those that come after them
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  held    what is added to the time of held retries, so that it never comes
RETURNS
  list  Redis time in ms, live, dead, running, waiting in retries until later, unknown to the
        workers (of the first 1,000 that wait), ms when the oldest ready one was added (-1: none is
        ready), counters, delayed, held because their job function is paused

Replaceable jobs that are due are told from delayed ones among the first 1,000 that wait; those
beyond count as delayed.
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local running, oldest = 0, nil
for _, stream in ipairs({ KEYS[1], KEYS[8], KEYS[9] }) do
  local last = '-'
  local jobs = redis.pcall('XPENDING', stream, ARGV[1])
  if not jobs.err then
    running = running + jobs[1]
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
      local name, delivered
      for i = 1, #group, 2 do
        if group[i] == 'name' then name = group[i + 1] end
        if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
      end
      if name == ARGV[1] then last = '(' .. delivered end
    end
  end
  local first = redis.call('XRANGE', stream, last, '+', 'COUNT', 1)[1]
  local at = first and tonumber(string.match(first[1], '^%d+'))
  if at and (not oldest or at < oldest) then oldest = at end
end
local retries = redis.pcall('XPENDING', KEYS[2], ARGV[1])
if not retries.err then
  for _, consumer in ipairs(retries[4] or {}) do
    if consumer[1] ~= ARGV[2] then running = running + tonumber(consumer[2]) end
  end
end
local unknown, due = 0, 0
local waiting = redis.call('ZRANGE', KEYS[4], 0, 999, 'WITHSCORES')
for i = 1, #waiting, 2 do
  local letter = string.sub(waiting[i], 1, 1)
  if letter == 'u' then
    unknown = unknown + 1
  elseif (letter == 'd' or letter == 'q') and tonumber(waiting[i + 1]) <= now then
    due = due + 1
  end
end
local later = redis.call('ZCOUNT', KEYS[4], '(' .. string.format('%.0f', now), '(' .. ARGV[3])
local delayed = math.min(later, math.max(0, redis.call('HLEN', KEYS[7]) - due))
return {
  now, redis.call('HLEN', KEYS[5]), redis.call('XLEN', KEYS[3]), running, later - delayed, unknown,
  oldest or -1, redis.call('HGETALL', KEYS[6]), delayed,
  redis.call('ZCOUNT', KEYS[4], ARGV[3], '+inf'),
}
