--[[
Delete the notes of uniqueness that say nothing any more, page by page.

KEYS
  1  unique  hash  key -> mode, until, since, job id; key~ -> until, job id, times; @job id -> key
  2  index   hash  job id -> where it is
ARGV
  1  cursor  where to go on; 0 from the start
  2  count   how many to look at, about
RETURNS
  list  the next cursor (0 at the end), how many were deleted
]]
local unique = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HLEN', KEYS[2]) -- a wrong type must fail before the first write

-- The same rule as in enqueue_keyed: what is deleted there is deleted here.
local function is_stale(name, value)
  if string.sub(name, -1) == '~' then
    local till = string.match(value, '^(%d+) ')
    return not till or tonumber(till) <= now
  end
  if string.match(name, '^@[^:]*$') then
    local id = string.match(redis.call('HGET', unique, value) or '', '^[sdt] %d+ %d+ (%S+)$')
    return not id or '@' .. id ~= name
  end
  local mode, till, id = string.match(value, '^([sdt]) (%d+) %d+ (%S+)$')
  if not mode then return true end
  local where = redis.call('HGET', KEYS[2], id)
  if not where then return mode ~= 't' or tonumber(till) <= now end
  return string.sub(where, 1, 1) == 'x'
end

local page = redis.call('HSCAN', unique, ARGV[1], 'COUNT', ARGV[2])
local stale = {}
for i = 1, #page[2], 2 do
  if is_stale(page[2][i], page[2][i + 1]) then stale[#stale + 1] = page[2][i] end
end
for i = 1, #stale, 1000 do
  redis.call('HDEL', unique, unpack(stale, i, math.min(i + 999, #stale)))
end
return { page[1], #stale }
