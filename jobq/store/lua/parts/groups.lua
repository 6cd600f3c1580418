--[[
Keep the groups of dead letters alike, for scripts that add a dead letter or take one away.

Each wants the two keys of the groups, `groups` and `grouped`, and comes after the first write of
its script. Groups are there to be looked at: where a stranger has put another type in their
place, nothing is kept, and the script goes on.

join_group   count a letter: its entry, the fingerprint of its group (empty: it has none), what
             those in it have in common, how many groups there may be, and when it failed in ms if
             that was before its entry
leave_group  count it no more
stay_in      it is in another entry now
]]
local function group_member(group, entry)
  -- Of one length, so that the order of names is that of time.
  local ms, number = string.match(entry, '^(%d+)-(%d+)$')
  local zeros = string.rep('0', 15 - #ms)
  return group .. ' ' .. zeros .. ms .. '-' .. string.rep('0', 6 - #number) .. number
end
local function are_groups(groups, grouped)
  local size = redis.pcall('HLEN', groups)
  return type(size) == 'number' and type(redis.pcall('ZCARD', grouped)) == 'number' and size
end
local function join_group(groups, grouped, entry, group, about, most, at)
  at = tonumber(at or string.match(entry, '^%d+'))
  local size = group ~= '' and are_groups(groups, grouped)
  if not size then return end
  local value = redis.call('HGET', groups, group)
  if not value and size >= tonumber(most) then
    group, about = '*', ''
    value = redis.call('HGET', groups, group)
  end
  local count, first, last = string.match(value or '', '^(%d+) (%d+) (%d+) ')
  count, first, last = tonumber(count or 0), tonumber(first or at), tonumber(last or at)
  local numbers = { count + 1, math.min(first, at), math.max(last, at) }
  value = string.format('%.0f %.0f %.0f ', unpack(numbers)) .. about
  redis.call('HSET', groups, group, value)
  redis.call('ZADD', grouped, 0, group_member(group, entry))
end
local function leave_group(groups, grouped, entry, group)
  if not group or not are_groups(groups, grouped) then return end
  if redis.call('ZREM', grouped, group_member(group, entry)) == 0 then
    group = '*' -- there were too many groups when it came
    if redis.call('ZREM', grouped, group_member(group, entry)) == 0 then return end
  end
  local count, rest = string.match(redis.call('HGET', groups, group) or '', '^(%d+)( .*)$')
  if count and tonumber(count) > 1 then
    redis.call('HSET', groups, group, string.format('%.0f', count - 1) .. rest)
  else
    redis.call('HDEL', groups, group)
  end
end
local function stay_in(groups, grouped, entry, group, new)
  if not group or not are_groups(groups, grouped) then return end
  for _, name in ipairs({ group, '*' }) do
    if redis.call('ZREM', grouped, group_member(name, entry)) == 1 then
      redis.call('ZADD', grouped, 0, group_member(name, new))
      return
    end
  end
end
