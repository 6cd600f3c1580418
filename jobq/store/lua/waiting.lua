--[[
List the jobs of a queue that wait for their first start, for tests. Writes nothing.

KEYS
  1  jobs     stream  calls of normal priority, waiting for, or in, their first attempt
  2  high     stream  the same of high priority
  3  low      stream  the same of low priority
  4  retries  stream  calls waiting for, or in, a later attempt
  5  due      zset    what becomes runnable when
  6  delayed  hash    job id -> a delayed job
  7  index    hash    job id -> where it is
ARGV
  1  group   the consumer group
  2  parked  the parking consumer
RETURNS
  list  for each job, in the order of its line: id, letter of the line, call, ms since 1970 when it
        is due (-1: now)
]]
local found = {}
local function add(id, letter, call, due)
  found[#found + 1] = { id, letter, call, due and string.format('%.0f', due) or '-1' }
end
for _, line in ipairs({ { 'h', KEYS[2] }, { 'j', KEYS[1] }, { 'l', KEYS[3] } }) do
  local letter, stream = line[1], line[2]
  local given = {}
  local pending = redis.pcall('XPENDING', stream, ARGV[1], '-', '+', 1000000)
  for i = 1, #pending do given[pending[i][1]] = true end
  for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+')) do
    local id = entry[2][1]
    if not given[entry[1]] and redis.call('HGET', KEYS[7], id) == letter .. entry[1] then
      add(id, letter, entry[2][2])
    end
  end
end
-- What was given back, or put aside, before it was started.
local parked = redis.pcall('XPENDING', KEYS[4], ARGV[1], '-', '+', 1000000, ARGV[2])
for i = 1, #parked do
  local entry = parked[i][4] == 0 and redis.call('XRANGE', KEYS[4], parked[i][1], parked[i][1])[1]
  if entry then
    local letter = 'j'
    for at = 3, #entry[2], 2 do
      if entry[2][at] == 'line' then letter = entry[2][at + 1] end
    end
    add(entry[2][1], letter, entry[2][2])
  end
end
local delayed = redis.call('HGETALL', KEYS[6])
for at = 1, #delayed, 2 do
  local id, letter, call = delayed[at], string.match(delayed[at + 1], '^%d+ (%a) (.*)$')
  local due = redis.call('ZSCORE', KEYS[5], 'd' .. id) or redis.call('ZSCORE', KEYS[5], 'q' .. id)
  if call then add(id, letter, call, due and tonumber(due)) end
end
return found
