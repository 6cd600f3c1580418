--[[
Make the jobs of a schedule whose time has come, once: whoever comes second finds it done.

KEYS
  1  schedules  hash    letter + schedule name -> what it is and how it stands
  2  ticks      zset    schedule name -> when its next tick fires
  3  past       list    the last ticks of the schedule, the newest first
  4  jobs       stream  where its jobs go
  5  index      hash    job id -> where it is
  6  tally      hash    minute, key and job function -> a number that is in no row yet
ARGV
  1  name      of the schedule
  2  revision  that the sender has read
  3  tick      nominal time in ms of the tick that is due, as the sender has read it
  4  next      nominal time in ms of the tick after those that are made here
  5  fires     when that fires, ms
  6  overlap   allow, skip or queue
  7  missed    how many ticks, from that one on, were missed and make no job
  8  most      ticks that may wait for the job before them
  9  kept      past ticks that are kept
 10  letter    stands before the entry in the index
 11… nominal time in ms, job id and call (empty: the stored one) of each tick that makes a job
RETURNS
  {1, '', '', waiting}       done; so many ticks wait for the job before them
  {0, revision, tick, 0}     it was done by another, or the schedule has changed: how it is now
  {-1, '', fires, 0}         it is not yet time: when it is
]]
local name = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'r' .. name, 't' .. name, 'p' .. name, 'l' .. name,
  'b' .. name, 'c' .. name)
local fires = redis.call('ZSCORE', KEYS[2], name)
redis.call('LLEN', KEYS[3]) -- wrong types must fail before the first write
redis.call('XLEN', KEYS[4])
local last = redis.call('HGET', KEYS[5], has[4] or '')
if has[1] ~= ARGV[2] or has[2] ~= ARGV[3] or has[3] or not fires or not has[6] then
  return { 0, has[1] or '', has[3] and '' or has[2] or '', 0 }
end
if now < tonumber(fires) then return { -1, '', fires, 0 } end
local live = last and string.sub(last, 1, 1) ~= 'x'
local backlog = has[5] or ''
local waiting = select(2, string.gsub(backlog, ',', ','))
local where, past, calls, job = {}, {}, {}, has[4]
local stamp = string.format(' %.0f ', now)
if tonumber(ARGV[7]) > 0 then past[1] = ARGV[3] .. stamp .. '- missed:' .. ARGV[7] end
for i = 11, #ARGV, 3 do
  local free = not live and waiting == 0
  if ARGV[6] == 'allow' or free then
    job = ARGV[i + 1]
    local call = ARGV[i + 2] ~= '' and ARGV[i + 2] or has[6]
    local entry = redis.pcall('XADD', KEYS[4], '*', job, call)
    if type(entry) == 'table' then
      -- No memory, or a stream at its last id: leave everything as it was.
      for k = 2, #where, 2 do redis.call('XDEL', KEYS[4], string.sub(where[k], 2)) end
      return entry
    end
    where[#where + 1] = job
    where[#where + 1] = ARGV[10] .. entry
    calls[#calls + 1], calls[#calls + 2] = job, call
    past[#past + 1] = ARGV[i] .. stamp .. job .. ' -'
    live = true
  elseif ARGV[6] == 'queue' and waiting < tonumber(ARGV[8]) then
    waiting = waiting + 1
    backlog = backlog .. ARGV[i] .. ','
    past[#past + 1] = ARGV[i] .. stamp .. '- queued'
  else
    past[#past + 1] = ARGV[i] .. stamp .. '- skipped'
  end
end
local set = { 't' .. name, ARGV[4] }
if job then
  set[3] = 'l' .. name
  set[4] = job
end
if backlog ~= '' then
  set[#set + 1] = 'b' .. name
  set[#set + 1] = backlog
end
redis.call('HSET', KEYS[1], unpack(set))
redis.call('ZADD', KEYS[2], ARGV[5], name)
if #where > 0 then redis.call('HSET', KEYS[5], unpack(where)) end
if #past > 0 then
  redis.call('LPUSH', KEYS[3], unpack(past))
  redis.call('LTRIM', KEYS[3], 0, ARGV[9] - 1)
end
if #calls > 0 then count_added(KEYS[6], math.floor(now / 60000), calls, 2) end
return { 1, '', '', waiting }
