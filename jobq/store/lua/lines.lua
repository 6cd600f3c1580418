--[[
Tell which lines of a queue are in use beside the normal one: those that have ever had a job.

KEYS
  1  high  stream  those that go before ``jobs``
  2  low   stream  those that come after them
RETURNS
  n  which of high (1) and low (2), added up
]]
local lines = 0
for bit, stream in ipairs({ KEYS[1], KEYS[2] }) do
  -- A stranger may have made the key of a line that nobody uses.
  if redis.call('EXISTS', stream) == 1 and type(redis.pcall('XLEN', stream)) == 'number' then
    lines = lines + bit
  end
end
return lines
