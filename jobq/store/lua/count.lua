--[[
Count the jobs of a queue by state, without walking through them. Writes nothing.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  dead     stream  dead letters
  4  due      zset    what becomes runnable when
  5  index    hash    job id -> where it is
  6  meta     hash    counters
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
RETURNS
  list  Redis time in ms, live, dead, running, waiting in retries until later, unknown to the
        workers (of the first 1,000 that wait), ms when the oldest ready one was added (-1: none is
        ready), counters
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local running = 0
local last = '-'
local jobs = redis.pcall('XPENDING', KEYS[1], ARGV[1])
if not jobs.err then
  running = jobs[1]
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local name, delivered
    for i = 1, #group, 2 do
      if group[i] == 'name' then name = group[i + 1] end
      if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
    end
    if name == ARGV[1] then last = '(' .. delivered end
  end
end
local retries = redis.pcall('XPENDING', KEYS[2], ARGV[1])
if not retries.err then
  for _, consumer in ipairs(retries[4] or {}) do
    if consumer[1] ~= ARGV[2] then running = running + tonumber(consumer[2]) end
  end
end
local unknown = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[4], 0, 999)) do
  if string.sub(member, 1, 1) == 'u' then unknown = unknown + 1 end
end
local oldest = redis.call('XRANGE', KEYS[1], last, '+', 'COUNT', 1)[1]
return {
  now, redis.call('HLEN', KEYS[5]), redis.call('XLEN', KEYS[3]), running,
  redis.call('ZCOUNT', KEYS[4], '(' .. string.format('%.0f', now), '+inf'), unknown,
  oldest and tonumber(string.match(oldest[1], '^%d+')) or -1,
  redis.call('HGETALL', KEYS[6]),
}
