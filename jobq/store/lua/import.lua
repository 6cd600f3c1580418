--[[
Take in a dead letter from elsewhere, once, whatever the number of tries.

KEYS
  1  dead     stream  dead letters
  2  index    hash    job id -> where it is
  3  result   string  the result of the job
  4  groups   hash    fingerprint -> the dead letters alike
  5  grouped  zset    fingerprint and entry of each of them
  6  redated  set     dead letters that failed before they came to their entry
ARGV
  1  id      the job's id
  2  call    the encoded call
  3  letter  what the dead letter says, encoded
  4  line    the letter of its line
  5  at      when it failed, ms since 1970
  6  alike   the fingerprint of its group of dead letters
  7  about   what those in the group have in common, encoded
  8  most    groups that are told apart
RETURNS
  1  added
  0  there is such a job already, or it has ended and its result is kept
]]
if redis.call('HEXISTS', KEYS[2], ARGV[1]) + redis.call('EXISTS', KEYS[3]) > 0 then return 0 end
redis.call('SCARD', KEYS[6]) -- a wrong type must fail before the first write
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- By the clock of this Redis it cannot have failed after it came.
local at = string.format('%.0f', math.min(tonumber(ARGV[5]), now))
local fields = { ARGV[1], ARGV[2], 'letter', ARGV[3], 'group', ARGV[6], 'at', at }
if ARGV[4] ~= 'j' then fields[9], fields[10] = 'line', ARGV[4] end
local entry = redis.call('XADD', KEYS[1], '*', unpack(fields))
redis.call('HSET', KEYS[2], ARGV[1], 'x' .. entry)
redis.call('SADD', KEYS[6], entry)
join_group(KEYS[4], KEYS[5], entry, ARGV[6], ARGV[7], ARGV[8], at)
return 1
