--[[
Make the consumer groups of a queue; after a loss, without running what has finished again.

KEYS
  1  jobs     stream  calls waiting for, or in, their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  due      zset    what becomes runnable when
  4  index    hash    job id -> where it is
  5  meta     hash    counters; remembers that there was a group
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
RETURNS
  n  how many finished entries were deleted, which a new group would have delivered again
]]
local jobs, retries, due, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
redis.call('XLEN', retries) -- wrong types must fail before the first write
redis.call('ZCARD', due)
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('XDEL', jobs, '0-0') -- deletes nothing; after it, a full Redis lets all the rest pass
local made = redis.pcall('XGROUP', 'CREATE', jobs, group, '0', 'MKSTREAM')
local deleted = 0
if not made.err and redis.call('HEXISTS', KEYS[5], 'grouped') == 1 then
  -- Entries linger after they finished (trim, do not delete): only the index says which.
  local from = '-'
  while true do
    local some = redis.call('XRANGE', jobs, from, '+', 'COUNT', 1000)
    local done = {}
    for _, entry in ipairs(some) do
      if redis.call('HGET', KEYS[4], entry[2][1]) ~= 'j' .. entry[1] then done[#done + 1] = entry[1] end
    end
    if #done > 0 then deleted = deleted + redis.call('XDEL', jobs, unpack(done)) end
    if #some < 1000 then break end
    from = '(' .. some[#some][1]
  end
elseif made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
  return made
end
redis.call('HSET', KEYS[5], 'grouped', 1)
made = redis.pcall('XGROUP', 'CREATE', retries, group, '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP', 1, true) then return deleted end
  return made
end
local waiting = {}
for _, member in ipairs(redis.call('ZRANGE', due, 0, -1)) do waiting[string.sub(member, 2)] = true end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
while true do
  local read = redis.call('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', 1000, 'STREAMS', retries, '>')
  if not read then return deleted end
  for _, got in ipairs(read[1][2]) do
    if not waiting[got[1]] then redis.call('ZADD', due, now, '?' .. got[1]) end
  end
end
