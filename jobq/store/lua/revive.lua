--[[
Bring a dead letter back to the end of its queue: it starts afresh, with its history.

KEYS
  1  dead     stream  dead letters
  2  jobs     stream  calls waiting for, or in, their first attempt
  3  index    hash    job id -> where it is
  4  cancels  hash    job id -> where it ran when its cancel was asked for
  5  result   string  the result of the job
  6  high     stream  as jobs, those that go before them
  7  low      stream  as jobs, those that come after them
  8  groups   hash    fingerprint -> the dead letters alike
  9  grouped  zset    fingerprint and entry of each of them
 10  redated  set     dead letters that failed before they came to their entry
ARGV
  1  id       the job's id
  2  entry    the dead letter
  3  history  its attempts so far, encoded
  4  call     the call from now on, encoded; empty: as it was
RETURNS
  1  back in its queue
  0  no such dead letter
]]
if redis.call('HGET', KEYS[3], ARGV[1]) ~= 'x' .. ARGV[2] then return 0 end
local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
if not found then return 0 end
local call = ARGV[4] ~= '' and ARGV[4] or found[2][2]
local more = {}
for i = 3, #found[2], 2 do more[found[2][i]] = found[2][i + 1] end
local letter = more.line
local stream = ({ h = KEYS[6], l = KEYS[7] })[letter]
if not stream then stream, letter = KEYS[2], 'j' end
redis.call('XLEN', stream) -- wrong types must fail before the first write
redis.call('HLEN', KEYS[4])
redis.call('SCARD', KEYS[10])
-- A full Redis lets XADD pass after DEL. And XADD comes before XDEL, for a stranger's entry with
-- the greatest id of all makes it fail.
redis.call('DEL', KEYS[5])
local entry = redis.call('XADD', stream, '*', ARGV[1], call, 'history', ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], letter .. entry)
redis.call('SREM', KEYS[10], ARGV[2])
leave_group(KEYS[8], KEYS[9], ARGV[2], more.group)
return 1
