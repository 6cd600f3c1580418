--[[
Take new jobs of a queue that uses several of its lines, the first line first.

KEYS
  1… lines  stream  calls waiting for, or in, their first attempt
ARGV
  1  group     the consumer group
  2  consumer  the worker that takes them
  3  limit     how many at most
  4  spare     the number of the line from which is taken only when those before it gave nothing;
               0: there is none
RETURNS
  list  for each line that gave some: its number, the entries
]]
local left, spare, given = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for number, stream in ipairs(KEYS) do
  if left <= 0 or (number == spare and #given > 0) then break end
  local got = redis.pcall('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', left, 'STREAMS',
    stream, '>')
  if got and got.err then
    -- What was taken before must reach the worker: the next time this line is the first to fail.
    if #given == 0 then return got end
    break
  end
  if got then
    local entries = got[1][2]
    given[#given + 1] = { number, entries }
    left = left - #entries
  end
end
return given
