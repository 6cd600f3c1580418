--[[
Give a dead letter another call. It gets an entry of its own for that, and keeps when it failed.

KEYS
  1  dead     stream  dead letters
  2  index    hash    job id -> where it is
  3  groups   hash    fingerprint -> the dead letters alike
  4  grouped  zset    fingerprint and entry of each of them
  5  redated  set     dead letters that failed before they came to their entry
ARGV
  1  id     the job's id
  2  entry  the dead letter
  3  call   the call from now on, encoded
RETURNS
  1  done
  0  no such dead letter
]]
if redis.call('HGET', KEYS[2], ARGV[1]) ~= 'x' .. ARGV[2] then return 0 end
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not found then return 0 end
redis.call('SCARD', KEYS[5]) -- a wrong type must fail before the first write
local fields, group, is_dated = found[2], nil, false
fields[2] = ARGV[3]
for i = 3, #fields, 2 do
  if fields[i] == 'group' then group = fields[i + 1] end
  if fields[i] == 'at' then is_dated = true end
end
if not is_dated then
  fields[#fields + 1], fields[#fields + 2] = 'at', string.match(ARGV[2], '^%d+')
end
-- First, so that a full Redis refuses all of it.
local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], 'x' .. entry)
redis.call('SREM', KEYS[5], ARGV[2])
redis.call('SADD', KEYS[5], entry)
stay_in(KEYS[3], KEYS[4], ARGV[2], group, entry)
return 1
