--[[
Put calls into a queue as a plain enqueue does not: later, in another line of the queue, under an
id of the caller's own, or only while the queue has room. All or none.

KEYS
  1  jobs     stream  the line: calls waiting for their first attempt
  2  index    hash    job id -> where it is
  3  lanes    zset    lane -> the number of its last call
  4  delayed  hash    job id -> a delayed job
  5  due      zset    what becomes runnable when
  6  dead     stream  dead letters
  7  result   string  the result of the job with the first id
  8  tally    hash    minute, key and job function -> a number that is in no row yet
  9… what an earlier job of the first id may have reported
ARGV
  1  lane    the producer connection that sends
  2  number  of this call, rising within the lane
  3  letter  of the line, as in the index
  4  delay   ms until they are due
  5  at      Redis time in ms at which they are due instead; 0: as the delay says
  6  most    jobs that the queue may have, in any state; 0: any number
  7  own     1: the first id is the caller's own, and must not be taken
  8… id and call of each job, in turn
RETURNS
   n  how many were added; 0: this is a resend of what was added before
  -1  the id is taken: the job lives, or its result is kept
  -2  this is a resend, and it cannot be told whether the first try added anything
  list  when the queue is full: how many jobs it has, how many of them are dead letters
]]
local jobs, index, number = KEYS[1], KEYS[2], tonumber(ARGV[2])
local most, own = tonumber(ARGV[6]), ARGV[7] == '1'
local last = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[1]) or '-1')
if last == number then return 0 end
if last > number then
  -- A refusal does not move the lane on, so a later call may have been added after one.
  if most == 0 then return 0 end
  return redis.call('HEXISTS', index, ARGV[8]) == 1 and 0 or -2
end
if own and redis.call('HEXISTS', index, ARGV[8]) + redis.call('EXISTS', KEYS[7]) > 0 then
  return -1
end
local size = redis.call('HLEN', index)
if most > 0 and size + (#ARGV - 7) / 2 > most then
  return { size, redis.call('XLEN', KEYS[6]) }
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = tonumber(ARGV[5])
if at == 0 then at = now + tonumber(ARGV[4]) end
local where = {}
if at > now then
  redis.call('ZCARD', KEYS[5]) -- a wrong type must fail before the first write
  local times, calls = {}, {}
  local head = string.format('%.0f ', now) .. ARGV[3] .. ' '
  for i = 8, #ARGV, 2 do
    local n = i - 7
    where[n], where[n + 1] = ARGV[i], 'd'
    calls[n], calls[n + 1] = ARGV[i], head .. ARGV[i + 1]
    times[n], times[n + 1] = at, 'd' .. ARGV[i]
  end
  redis.call('HSET', KEYS[4], unpack(calls))
  redis.call('ZADD', KEYS[5], unpack(times))
else
  local failed
  for i = 8, #ARGV, 2 do
    local entry = redis.pcall('XADD', jobs, '*', ARGV[i], ARGV[i + 1])
    if type(entry) == 'table' then
      failed = entry
      break
    end
    where[i - 7], where[i - 6] = ARGV[i], ARGV[3] .. entry
  end
  if failed then
    -- A key of another type, or a stream at its last id: leave everything as it was.
    for i = 2, #where, 2 do redis.call('XDEL', jobs, string.sub(where[i], 2)) end
    return failed
  end
end
redis.call('HSET', index, unpack(where))
redis.call('ZADD', KEYS[3], number, ARGV[1])
-- Last: after a DEL a full Redis would let XADD pass.
if own then
  for i = 9, #KEYS do redis.call('DEL', KEYS[i]) end
end
count_added(KEYS[8], math.floor(now / 60000), ARGV, 9)
return #where / 2
