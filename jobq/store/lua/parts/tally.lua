--[[
Count what has happened to jobs, for scripts that add jobs or end attempts.

Each wants the key of what is in no row yet, `tally`, and comes after the first write of its
script. Numbers are there to be looked at: where a stranger has put another type in their place,
nothing is counted, and the script goes on.

count_in     add to the numbers of a job function: the time in ms, its name, and keys and numbers
             in turn, with spaces between them
job_of       the name of the job function of a call, signed or not; *: it has none; and how many
             bytes there are up to its end, but for a signed call
count_added  count jobs that were added: the minute, or the first nine digits of the time in ms,
             and every second call of a table from a place on
]]
local function count_one(tally, at, key, job, number)
  -- pcall: text that a stranger put in the place of a number must not end this half-way
  local field = at .. ' ' .. key .. ' ' .. job
  if redis.pcall('HINCRBY', tally, field, number) == number and tonumber(at) > 0
    and redis.call('HLEN', tally) > 8000 then
    -- No supervisor has come to move them into rows for long: what is kept is how many in all.
    redis.call('HDEL', tally, field)
    redis.pcall('HINCRBY', tally, '0 ' .. key .. ' *', number)
  end
end
local function count_in(tally, now, job, counts)
  local minute = math.floor(now / 60000)
  for key, number in string.gmatch(counts, '(%w+) (%d+)') do
    count_one(tally, minute, key, job, tonumber(number))
  end
end
local function text_at(call, at)
  local head, high, low = string.byte(call, at, at + 2)
  if not low then return 0, at end
  if head >= 160 and head < 192 then return head - 160, at + 1 end
  if head == 217 then return high, at + 2 end
  if head == 218 then return high * 256 + low, at + 3 end
  return 0, at
end
local function job_of(call)
  local at, size, from, known = 1, nil, nil, nil
  if string.byte(call, 1) == 148 then
    -- Behind the id of the key and 32 bytes there is the call, with one, two or four for its size.
    size, from = text_at(call, 3)
    at = from + size + 35
    at = at + (({ [196] = 1, [197] = 2, [198] = 4 })[string.byte(call, at - 1)] or 0)
  end
  if string.byte(call, at) ~= 149 then return '*' end
  size, from = text_at(call, at + 2)
  known = from + size - 1
  if size == 0 or size > 800 or #call < known then return '*' end
  return string.sub(call, from, known), at == 1 and known or nil
end
local function count_added(tally, at, calls, from)
  local sub, version, _, short, long = string.sub, string.byte(calls[from], 1, 4)
  local added, many, job, size = nil, 1, nil, nil
  -- What nearly all calls look like, without a step more: one call is what most scripts add.
  if version == 149 and short and short > 160 and short < 192 then
    size = short - 157
    job = sub(calls[from], 4, size)
  elseif version == 149 and short == 217 and long and long > 0 then
    size = long + 4
    job = sub(calls[from], 5, size)
  else
    job, size = job_of(calls[from])
  end
  if #calls > from then
    local head = size and sub(calls[from], 1, size)
    for i = from + 2, #calls, 2 do
      if head and sub(calls[i], 1, size) == head then -- most are like the one before
        many = many + 1
      else
        added = added or {}
        added[job] = (added[job] or 0) + many
        job, size = job_of(calls[i])
        head, many = size and sub(calls[i], 1, size), 1
      end
    end
    for other, before in pairs(added or {}) do
      if other == job then
        many = many + before
      else
        count_one(tally, at, 'e', other, before)
      end
    end
  end
  count_one(tally, at, 'e', job, many)
end
