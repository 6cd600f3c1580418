--[[
Give a time to parked retries that have none, because somebody deleted it: they are due now.

KEYS
  1  retries  stream  calls waiting for, or in, a later attempt
  2  due      zset    what becomes runnable when
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
  3  after   the entry after which to go on; '-' from the start
  4  count   how many to look at
  5  kinds   the letters that may stand before an entry in due
RETURNS
  list  the last entry that was looked at ('' at the end), how many were given a time
]]
local page = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], '+', ARGV[4], ARGV[2])
redis.call('ZCARD', KEYS[2]) -- a wrong type must fail before the first write
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reminded = 0
for _, held in ipairs(page) do
  local known = false
  for i = 1, #ARGV[5] do
    known = known or redis.call('ZSCORE', KEYS[2], string.sub(ARGV[5], i, i) .. held[1])
  end
  if not known then
    redis.call('XDEL', KEYS[1], '0-0') -- deletes nothing; after it, a full Redis lets ZADD pass
    redis.call('ZADD', KEYS[2], now, '?' .. held[1])
    reminded = reminded + 1
  end
end
local last = #page == tonumber(ARGV[4]) and page[#page][1] or ''
return { last, reminded }
