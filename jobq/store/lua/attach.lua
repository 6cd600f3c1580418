--[[
Take in a job that comes from another queue, as it was there; once, whatever the number of tries.

KEYS
  1  line     stream  calls of its line, waiting for their first attempt
  2  retries  stream  calls waiting for, or in, a later attempt
  3  due      zset    what becomes runnable when
  4  delayed  hash    job id -> a delayed job: when it was enqueued, its line, its call
  5  index    hash    job id -> where it is
  6  history  hash    job id -> its attempts so far
  7  result   string  the result of the job
ARGV
  1  group    the consumer group
  2  parked   the parking consumer
  3  id       the job's id
  4  call     the encoded call
  5  letter   of its line
  6  first    when it was enqueued (an entry id)
  7  used     attempts used so far
  8  kind     the letter before it in due: d, of a waiting retry which workers may take it, or none
  9  at       Redis time in ms at which it is due
 10  history  its attempts so far, encoded; empty: none
 11… names and values of what else stays with it
RETURNS
  1  added
  0  it is there already, or has ended there
]]
local line, retries, due, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, parked, id, kind, past = ARGV[1], ARGV[2], ARGV[3], ARGV[8], ARGV[10]
if redis.call('HEXISTS', KEYS[5], id) + redis.call('EXISTS', KEYS[7]) > 0 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XLEN', line) -- wrong types, and no group, must fail before the first write
redis.call('XPENDING', retries, group, '-', '+', 1)
redis.call('ZCARD', due)
redis.call('HLEN', delayed)
redis.call('HLEN', KEYS[6])
local is_due = kind == 'd' and tonumber(ARGV[9]) <= now
if kind == 'd' and not is_due then
  local since = string.match(ARGV[6], '^%d+')
  redis.call('HSET', delayed, id, since .. ' ' .. ARGV[5] .. ' ' .. ARGV[4])
  redis.call('ZADD', due, ARGV[9], 'd' .. id)
  redis.call('HSET', KEYS[5], id, 'd')
  return 1
end
local fields = { id, ARGV[4], 'first', ARGV[6] }
for i = 11, #ARGV do fields[#fields + 1] = ARGV[i] end
-- What was due before it came: who promotes has looked beyond that time already.
if is_due then fields[#fields + 1], fields[#fields + 2] = 'ready', ARGV[9] end
if kind == '' or is_due then
  if past ~= '' then fields[#fields + 1], fields[#fields + 2] = 'history', past end
  local entry = redis.call('XADD', line, '*', unpack(fields))
  redis.call('HSET', KEYS[5], id, ARGV[5] .. entry)
  return 1
end
if ARGV[5] ~= 'j' then fields[#fields + 1], fields[#fields + 2] = 'line', ARGV[5] end
local entry = redis.call('XADD', retries, '*', unpack(fields))
local mine = false
while not mine do
  local read = redis.call('XREADGROUP', 'GROUP', group, parked, 'COUNT', 100, 'STREAMS', retries, '>')
  if not read then break end
  for _, got in ipairs(read[1][2]) do
    if got[1] == entry then mine = true else redis.call('ZADD', due, now, '?' .. got[1]) end
  end
end
redis.call('XCLAIM', retries, group, parked, 0, entry, 'RETRYCOUNT', ARGV[7], 'JUSTID')
redis.call('ZADD', due, ARGV[9], kind .. entry)
redis.call('HSET', KEYS[5], id, 'r' .. entry)
if past ~= '' then redis.call('HSET', KEYS[6], id, past) end
return 1
