--[[
Count the jobs of a stream that no worker has taken yet, a page at a time. Writes nothing.

KEYS
  1  jobs  stream  calls waiting for, or in, their first attempt
ARGV
  1  group  the consumer group
  2  after  the entry after which to count; empty: the last one that a worker was given
  3  stop   the entry before which to stop; empty: at the end
  4  limit  how many at most
RETURNS
  list  how many there are, the last one of them (empty: there is none)
]]
local after = ARGV[2]
-- No group yet (nothing ever read this queue) is an error for XINFO, and no news for us.
local groups = after == '' and redis.pcall('XINFO', 'GROUPS', KEYS[1]) or {}
for _, group in ipairs(groups) do
  local name, delivered
  for i = 1, #group, 2 do
    if group[i] == 'name' then name = group[i + 1] end
    if group[i] == 'last-delivered-id' then delivered = group[i + 1] end
  end
  if name == ARGV[1] then after = delivered end
end
local from = after == '' and '-' or '(' .. after
local till = ARGV[3] == '' and '+' or '(' .. ARGV[3]
local found = redis.call('XRANGE', KEYS[1], from, till, 'COUNT', ARGV[4])
return { #found, #found > 0 and found[#found][1] or '' }
