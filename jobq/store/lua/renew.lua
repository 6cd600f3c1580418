--[[
Renew the leases of exactly the entries that a worker holds, where it still owns them.

KEYS
  1  stream  stream  jobs or retries
ARGV
  1  group     the consumer group
  2  consumer  the worker
  3… entries that it holds
RETURNS
  list  the entries that the worker no longer owns; nothing was done for them
]]
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000, ARGV[2])
local owned = {}
for i = 1, #pending do owned[pending[i][1]] = true end
local mine, lost = {}, {}
for i = 3, #ARGV do
  if owned[ARGV[i]] then mine[#mine + 1] = ARGV[i] else lost[#lost + 1] = ARGV[i] end
end
if #mine == 0 then return lost end
-- JUSTID leaves the delivery count alone, which is the fence and the attempt.
mine[#mine + 1] = 'JUSTID'
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(mine))
return lost
