--[[
Remove a job that was put aside, without a word to those who wait for it: it is in another queue.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
  3  delayed  hash    job id -> a delayed job
  4  index    hash    job id -> where it is
  5  history  hash    job id -> its attempts so far
  6  cancels  hash    job id -> where it ran when its cancel was asked for
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  id      the job's id
  4  where   where it was put aside, as in the index
  5  kinds   the letters that may stand before an entry in due
  6  call    its call, as it was put aside
RETURNS
  1  removed
  2  there is no such job any more
  0  it waits no more, or somewhere else, or its call was replaced meanwhile
]]
local retries, due, index, id = KEYS[1], KEYS[2], KEYS[4], ARGV[3]
local where = redis.call('HGET', index, id)
if not where then return 2 end
if where ~= ARGV[4] then return 0 end
local letter, entry = string.sub(where, 1, 1), string.sub(where, 2)
redis.call('ZCARD', due) -- wrong types must fail before the first write
local value = letter ~= 'r' and redis.call('HGET', KEYS[3], id)
if value and string.sub(value, -#ARGV[6]) ~= ARGV[6] then return 0 end
redis.call('HLEN', KEYS[3])
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])
if letter == 'r' then
  local owned = redis.call('XPENDING', retries, ARGV[1], entry, entry, 1)[1]
  if not owned or owned[2] ~= ARGV[2] then return 0 end
  redis.call('XACK', retries, ARGV[1], entry)
  redis.call('XDEL', retries, entry)
  for i = 1, #ARGV[5] do redis.call('ZREM', due, string.sub(ARGV[5], i, i) .. entry) end
else
  redis.call('ZREM', due, letter .. id)
  redis.call('HDEL', KEYS[3], id)
end
redis.call('HDEL', index, id)
redis.call('HDEL', KEYS[5], id)
redis.call('HDEL', KEYS[6], id)
return 1
