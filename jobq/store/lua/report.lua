--[[
Write what an attempt reports: progress, log lines, chunks, a checkpoint. Once: a resend of the
same batch adds nothing.

KEYS
  1  source      stream  where the attempt is: jobs or retries
  2  progress    hash    how far the job is, and of what of its reports has come
  3  log         stream  its last log lines
  4  chunks      stream  what it has streamed
  5  checkpoint  string  its last checkpoint
ARGV
  1  group       the consumer group
  2  consumer    the worker that runs it
  3  entry       the entry that it runs
  4  attempt     the delivery count that the worker was given: the fence; 0: do not compare it
  5  reporter    who reports: one word for this start of the job
  6  batch       number of this batch of it, rising from 1
  7  number      of the attempt, for those who read
  8  ttl         of progress, log and chunks in ms
  9  last        1: nothing comes after this, so all of them get this TTL
 10  fraction    how far it is; empty: nothing was said
 11  note        what was said beside that
 12  kept        TTL of the checkpoint in ms; 0: there is none
 13  value       the checkpoint, encoded
 14  most_lines  that are kept
 15  most        chunks that are kept
 16  most_bytes  of chunks that are kept
 17  lines       how many log lines
 18… level and text of each line, then number and value of each chunk
RETURNS
  1  written, now or before
  0  the worker no longer owns this attempt; nothing was done
]]
local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #held == 0 then return 0 end
if ARGV[4] ~= '0' and held[1][4] ~= tonumber(ARGV[4]) then return 0 end
local who, last = string.match(redis.call('HGET', KEYS[2], 'batch') or '', '^(%S+) (%d+)$')
if who == ARGV[5] and tonumber(last) >= tonumber(ARGV[6]) then return 1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('XLEN', KEYS[3]) -- wrong types must fail before the first write
redis.call('STRLEN', KEYS[5])
local many = redis.call('XLEN', KEYS[4])
local log, chunks, from = KEYS[3], KEYS[4], 18 + 2 * tonumber(ARGV[17])
-- XADD before the rest, for a stranger's entry with the greatest id of all makes it fail.
for i = 18, from - 1, 2 do
  redis.call('XADD', log, '*', 'a', ARGV[7], 'l', ARGV[i], 'm', ARGV[i + 1])
end
if from > 18 then -- now, for the next XADD may fail
  redis.call('XTRIM', log, 'MAXLEN', ARGV[14])
  redis.call('PEXPIRE', log, ARGV[8])
end
local bytes = many > 0 and tonumber(redis.call('HGET', KEYS[2], 'bytes') or '0') or 0
for i = from, #ARGV, 2 do
  redis.call('XADD', chunks, '*', 'a', ARGV[7], 'n', ARGV[i], 'v', ARGV[i + 1])
  many, bytes = many + 1, bytes + #ARGV[i + 1]
end
while many > 1 and (many > tonumber(ARGV[15]) or bytes > tonumber(ARGV[16])) do
  local oldest = redis.call('XRANGE', chunks, '-', '+', 'COUNT', 1)[1]
  if not oldest then break end
  redis.call('XDEL', chunks, oldest[1])
  many, bytes = many - 1, bytes - #(oldest[2][6] or '')
end
redis.call('HSET', KEYS[2], 'batch', ARGV[5] .. ' ' .. ARGV[6])
if #ARGV >= from then redis.call('HSET', KEYS[2], 'bytes', string.format('%.0f', bytes)) end
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[2], 'f', ARGV[10], 'n', ARGV[11], 'a', ARGV[7], 't', now)
end
redis.call('PEXPIRE', KEYS[2], ARGV[8])
-- Not without need: it wakes those who read.
if from == 18 and ARGV[9] == '1' then redis.call('PEXPIRE', log, ARGV[8]) end
if #ARGV >= from or ARGV[9] == '1' then redis.call('PEXPIRE', KEYS[4], ARGV[8]) end
if ARGV[12] ~= '0' then redis.call('SET', KEYS[5], ARGV[13], 'PX', ARGV[12]) end
return 1
