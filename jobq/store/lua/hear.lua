--[[
Take a dead letter that hooks have not heard of, so that for a while nobody else takes it.

KEYS
  1  unheard  zset    dead letters that hooks have not heard of, by when they may be taken
  2  index    hash    job id -> where it is
  3  dead     stream  dead letters
ARGV
  1  id  that of the job; empty: of the one that can be taken for longest
  2  ms  how long it is taken for
RETURNS
  nil: there is none, or others had it already
  the id; until when it is taken, Redis time in ms; its entry and the fields of that, or two
  nils when it is no dead letter any more
]]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id = ARGV[1]
if id == '' then
  id = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1]
  if not id then return nil end
elseif not redis.call('ZSCORE', KEYS[1], id) then
  return nil
end
local where = redis.call('HGET', KEYS[2], id)
local found
if where and string.sub(where, 1, 1) == 'x' then
  local entry = string.sub(where, 2)
  -- pcall: a stranger may have written anything there
  local range = redis.pcall('XRANGE', KEYS[3], entry, entry)
  if not range.err then found = range[1] end
end
if not found then
  redis.call('ZREM', KEYS[1], id)
  return { id, 0 }
end
local until_ms = now + tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], until_ms, id)
return { id, until_ms, found[1], found[2] }
