--[[
Move numbers that were counted into the rows of their job functions, each once.

KEYS
  1  tally   hash  minute, key and job function -> a number that is in no row yet
  2  totals  hash  job function -> what was counted of it since ever
  3… for each row two hashes: minute -> what was counted in it, hour -> the same
ARGV
  1  most     job functions of the queue that have rows of their own
  2  minutes  TTL in ms of the first of the two hashes
  3  hours    TTL in ms of the second
  4… for each row: the job function, the minute, the hour, how many numbers, and their names
RETURNS
  list  the job functions for which there is no room; nothing was done for them
]]
local function read(key, field)
  local value = redis.pcall('HGET', key, field)
  local is_row, row = pcall(cmsgpack.unpack, type(value) == 'string' and value or '')
  return is_row and type(row) == 'table' and row or {}
end
-- pcall: where a stranger has put another type, the other rows are kept all the same.
local function write(key, field, counts)
  local row = read(key, field)
  for name, number in pairs(counts) do
    local had = row[name]
    row[name] = number + (type(had) == 'number' and had >= 0 and had < 1e18 and had or 0)
  end
  redis.pcall('HSET', key, field, cmsgpack.pack(row))
end
local full, at, k, moved = {}, 4, 3, false
while at <= #ARGV do
  local job, minute, hour, many = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  local known = job == '*' or redis.pcall('HEXISTS', KEYS[2], job) ~= 0
  local rows = redis.pcall('HLEN', KEYS[2])
  if not known and type(rows) == 'number' and rows >= tonumber(ARGV[1]) then
    full[#full + 1] = job
  else
    local counts, found = {}, false
    for i = at + 4, at + 3 + many do
      local key = string.match(ARGV[i], '^%d+ (%w+) ')
      local number = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '')
      if key and number and number >= 0 and number < 1e18 then
        counts[key] = (counts[key] or 0) + number
        found = true
      end
    end
    if found then
      redis.call('HDEL', KEYS[1], unpack(ARGV, at + 4, at + 3 + many))
      write(KEYS[k], minute, counts)
      write(KEYS[k + 1], hour, counts)
      write(KEYS[2], job, counts)
      redis.pcall('PEXPIRE', KEYS[k], ARGV[2])
      redis.pcall('PEXPIRE', KEYS[k + 1], ARGV[3])
      moved = true
    end
  end
  at, k = at + 4 + many, k + 2
end
-- Who reads the numbers and the rows one after the other sees that some have moved.
if moved then redis.pcall('HINCRBY', KEYS[1], '#', 1) end
return full
