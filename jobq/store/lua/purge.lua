--[[
Remove one dead letter for good.

KEYS
  1  dead     stream  dead letters
  2  index    hash    job id -> where it is
  3  cancels  hash    job id -> where it ran when its cancel was asked for
  4  result   string  the result of the job
  5  unique   hash    uniqueness key -> the job that has it; @job id -> the key it has for a time
  6  groups   hash    fingerprint -> the dead letters alike
  7  grouped  zset    fingerprint and entry of each of them
  8  redated  set     dead letters that failed before they came to their entry
  9… what the job has reported
ARGV
  1  id     the job's id
  2  entry  the dead letter
RETURNS
  1  removed
  0  no such dead letter
]]
-- A stranger's entry stands in no index, or under an id that is somebody else's.
local ours = redis.call('HGET', KEYS[2], ARGV[1]) == 'x' .. ARGV[2]
redis.call('HLEN', KEYS[3]) -- a wrong type must fail before the first write
local key = redis.call('HGET', KEYS[5], '@' .. ARGV[1])
redis.call('SCARD', KEYS[8])
local group
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
for i = 3, found and #found[2] or 0, 2 do
  if found[2][i] == 'group' then group = found[2][i + 1] end
end
local removed = redis.call('XDEL', KEYS[1], ARGV[2])
if removed == 1 and ours then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
  redis.call('DEL', KEYS[4])
  for i = 9, #KEYS do redis.call('DEL', KEYS[i]) end
  -- As long as it was a dead letter, its key was free; it must not be taken again by that.
  if key then redis.call('HDEL', KEYS[5], key, '@' .. ARGV[1]) end
end
if removed == 1 then
  redis.call('SREM', KEYS[8], ARGV[2])
  leave_group(KEYS[6], KEYS[7], ARGV[2], group)
end
return removed
