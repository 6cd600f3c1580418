--[[
Make the job of the tick that waits longest for the job before it, if that has ended.

KEYS
  1  schedules  hash    letter + schedule name -> what it is and how it stands
  2  past       list    the last ticks of the schedule, the newest first
  3  jobs       stream  where its jobs go
  4  index      hash    job id -> where it is
  5  tally      hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  name      of the schedule
  2  revision  that the sender has read
  3  id        of the job
  4  call      its call; empty: the stored one
  5  letter    stands before the entry in the index
RETURNS
  n   how many ticks wait still
  -1  the schedule has changed
]]
local name = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'r' .. name, 'p' .. name, 'l' .. name, 'b' .. name,
  'c' .. name)
if has[1] ~= ARGV[2] or has[2] or not has[5] then return -1 end
local backlog = has[4] or ''
local waiting = select(2, string.gsub(backlog, ',', ','))
local last = redis.call('HGET', KEYS[4], has[3] or '')
if waiting == 0 or has[3] == ARGV[3] or (last and string.sub(last, 1, 1) ~= 'x') then
  return waiting
end
local past = redis.call('LRANGE', KEYS[2], 0, -1)
local tick, rest = string.match(backlog, '^([^,]*),(.*)$')
local call = ARGV[4] ~= '' and ARGV[4] or has[5]
local entry = redis.call('XADD', KEYS[3], '*', ARGV[3], call)
redis.call('HSET', KEYS[4], ARGV[3], ARGV[5] .. entry)
redis.call('HSET', KEYS[1], 'l' .. name, ARGV[3], 'b' .. name, rest)
if rest == '' then redis.call('HDEL', KEYS[1], 'b' .. name) end
for i = #past, 1, -1 do
  local nominal, how = string.match(past[i], '^(%S+) %S+ %S+ (%S+)$')
  if nominal == tick and how == 'queued' then
    local text = tick .. string.format(' %.0f ', now) .. ARGV[3] .. ' -'
    redis.call('LSET', KEYS[2], i - 1, text)
    break
  end
end
count_in(KEYS[5], now, (job_of(call)), 'e 1')
return waiting - 1
