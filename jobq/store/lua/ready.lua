--[[
List a page of the calls of a line that no worker has taken yet, the oldest first. Writes nothing.

KEYS
  1  jobs   stream  calls waiting for, or in, their first attempt
ARGV
  1  group  the consumer group
  2  after  the entry after which to go on; empty from the start
  3  count  how many at most
RETURNS
  list  for each: entry, fields
]]
local from = '-'
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, group in ipairs(groups) do -- where there is no stream yet, there are none
  local name, delivered
  for i = 1, #group, 2 do
    if group[i] == 'name' then name = group[i + 1] end
    if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
  end
  if name == ARGV[1] then from = delivered end
end
local function before(one, other)
  local ms, number = string.match(one, '^(%d+)-(%d+)$')
  local ms2, number2 = string.match(other, '^(%d+)-(%d+)$')
  if tonumber(ms) ~= tonumber(ms2) then return tonumber(ms) < tonumber(ms2) end
  return tonumber(number) < tonumber(number2)
end
if ARGV[2] ~= '' and (from == '-' or before(from, ARGV[2])) then from = ARGV[2] end
if from ~= '-' then from = '(' .. from end
return redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[3])
