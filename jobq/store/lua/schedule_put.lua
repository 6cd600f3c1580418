--[[
Add a schedule or replace it; or say that the code still declares it as it is.

What changed nothing of when it ticks leaves its next tick, its pause and its past alone.

KEYS
  1  schedules  hash  letter + schedule name -> what it is and how it stands
  2  ticks      zset  schedule name -> when its next tick fires
ARGV
  1  name        of the schedule
  2  owner       the app that declares it; empty: it is added by a program, and stays until removed
  3  since       Redis time in ms from which this supervisor knows the code
  4  revision    stands for all that the schedule is
  5  timing      stands for when it ticks
  6  definition  what the schedule is, encoded
  7  call        the call that its jobs make
  8  tick        nominal time in ms of its next tick
  9  fires       when that fires, ms
 10  silent      ms after which an owner that says nothing has no say any more
RETURNS
  {2, ''}       added
  {1, ''}       replaced
  {0, ''}       it was there, and is as it was
  {-1, owner}   it belongs to another app, or (empty) was added by a program
  {-2, owner}   newer code of the same app has it otherwise, or in another queue
]]
local name = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'd' .. name, 'r' .. name, 'y' .. name, 'o' .. name,
  'p' .. name, 't' .. name, 'g' .. name, 'c' .. name)
local score = redis.call('ZSCORE', KEYS[2], name)
local since, seen, owner = string.match(has[4] or '', '^(%d+) (%d+) (.*)$')
local heard = since and now - tonumber(seen) <= tonumber(ARGV[10])
local mine = tonumber(ARGV[3])
if has[1] then
  if ARGV[2] == '' and heard then return { -1, owner } end
  if ARGV[2] ~= '' and not has[4] then return { -1, '' } end
  if ARGV[2] ~= '' and heard and owner ~= ARGV[2] then return { -1, owner } end
end
if ARGV[2] ~= '' then
  if has[7] and (tonumber(has[7]) or 0) > mine then return { -2, ARGV[2] } end
  if has[1] and heard and has[2] ~= ARGV[4] and tonumber(since) > mine then
    return { -2, owner }
  end
  if since and owner == ARGV[2] and tonumber(since) > mine then mine = tonumber(since) end
end
-- A stranger may have written another call, which this puts right.
local stands = has[1] == ARGV[6] and has[2] == ARGV[4] and has[8] == ARGV[7]
-- Or anything in the place of the time.
local tick = string.match(has[6] or '', '^%d+$')
local as_before = has[1] and has[3] == ARGV[5] and tick and #tick <= 14 and score
local set = {}
if ARGV[2] ~= '' then
  set = { 'o' .. name, string.format('%.0f %.0f ', mine, now) .. ARGV[2] }
end
if not stands then
  for letter, value in pairs({ d = ARGV[6], c = ARGV[7], r = ARGV[4], y = ARGV[5] }) do
    set[#set + 1] = letter .. name
    set[#set + 1] = value
  end
end
if not as_before then
  set[#set + 1] = 't' .. name
  set[#set + 1] = ARGV[8]
end
-- The first write: where there is no memory left, it is refused, and nothing was done.
if #set > 0 then redis.call('HSET', KEYS[1], unpack(set)) end
if not as_before then redis.call('ZADD', KEYS[2], has[5] and '+inf' or ARGV[9], name) end
if stands and as_before then
  if has[7] then redis.call('HDEL', KEYS[1], 'g' .. name) end
  return { 0, '' }
end
redis.call('HDEL', KEYS[1], 'e' .. name, 'g' .. name)
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], 'o' .. name) end
-- pcall: text that a stranger put in the place of the number must not end this half-way
redis.pcall('HINCRBY', KEYS[1], 'n', 1)
return { has[1] and 1 or 2, '' }
