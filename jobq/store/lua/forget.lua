--[[
Delete a consumer that has nothing pending: XGROUP DELCONSUMER would destroy what it has.

KEYS
  1  stream  stream  jobs or retries
ARGV
  1  group     the consumer group
  2  consumer  whose
RETURNS
  1  deleted
  0  it has something pending
]]
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
