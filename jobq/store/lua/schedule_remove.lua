--[[
Remove a schedule with its past, unless the code of an app declares it still.

KEYS
  1  schedules  hash  letter + schedule name -> what it is and how it stands
  2  ticks      zset  schedule name -> when its next tick fires
  3  past       list  its last ticks
ARGV
  1  name    of the schedule
  2  owner   remove it only if this app has declared it; empty: whoever did, or nobody
  3  silent  ms for which nobody may have declared it
  4  since   the app declares it in another queue, by code known from then on, Redis time in ms:
             what older code says in this queue is not heard; empty: it does not
RETURNS
  {1, ''}      removed
  {0, ''}      there is no such schedule, or it is not that app's
  {-1, owner}  this app declares it
]]
local name = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'd' .. name, 'o' .. name)
redis.call('ZCARD', KEYS[2]) -- wrong types must fail before the first write
if not has[1] then return { 0, '' } end
local since, seen, owner = string.match(has[2] or '', '^(%d+) (%d+) (.*)$')
if ARGV[2] ~= '' and owner ~= ARGV[2] then return { 0, '' } end
if ARGV[4] ~= '' then
  if tonumber(since) > tonumber(ARGV[4]) then return { -1, owner } end
elseif since and now - tonumber(seen) < tonumber(ARGV[3]) then
  return { -1, owner }
end
for letter in string.gmatch('dcrytpolbeg', '.') do
  redis.call('HDEL', KEYS[1], letter .. name)
end
redis.call('ZREM', KEYS[2], name)
redis.call('DEL', KEYS[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'g' .. name, ARGV[4]) end
redis.pcall('HINCRBY', KEYS[1], 'n', 1)
return { 1, '' }
