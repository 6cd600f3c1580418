--[[
Look at the groups of dead letters, and whether they tell of all of them: at one moment.

KEYS
  1  dead     stream  dead letters
  2  groups   hash    fingerprint -> the dead letters alike
  3  grouped  zset    fingerprint and entry of each of them
  4  redated  set     dead letters that failed before they came to their entry
RETURNS
  list  how many dead letters there are, how many of them stand in groups, how many failed before
        they came to their entry, the oldest entry or nothing, and fingerprint and value of each
        group in turn
]]
local function size(command, key)
  local found = redis.pcall(command, key)
  return type(found) == 'number' and found or 0
end
local groups = size('HLEN', KEYS[2]) > 0 and redis.call('HGETALL', KEYS[2]) or {}
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {
  redis.call('XLEN', KEYS[1]), size('ZCARD', KEYS[3]), redis.call('SCARD', KEYS[4]),
  oldest and oldest[1] or '', groups,
}
