--[[
List the past ticks of a schedule whose jobs have ended while no outcome is noted.

KEYS
  1  past   list  the last ticks of the schedule, the newest first
  2  index  hash  job id -> where it is
RETURNS
  list  how many have not ended, then the text of each that has, the id of its job, and where that
        is if it is a dead letter (else empty), in turn
]]
local found, open = { 0 }, 0
for _, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local job, how = string.match(text, '^%S+ %S+ (%S+) (%S+)$')
  if how == '-' then
    local place = redis.call('HGET', KEYS[2], job)
    if place and string.sub(place, 1, 1) ~= 'x' then
      open = open + 1
    else
      found[#found + 1] = text
      found[#found + 1] = job
      found[#found + 1] = place and string.sub(place, 2) or ''
    end
  elseif how == 'queued' then
    open = open + 1
  end
end
found[1] = open
return found
