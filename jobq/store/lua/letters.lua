--[[
Read dead letters between two entries, the newest first. Writes nothing.

KEYS
  1  dead  stream  dead letters
ARGV
  1  newest  '+', an entry, or '(' and an entry: without that one
  2  oldest  '-', an entry, or a time in ms
  3  limit   how many at most
RETURNS
  list  the entries
]]
-- Where nothing is as old as the newest that is asked for, XREVRANGE would walk through all.
if #redis.call('XRANGE', KEYS[1], '-', ARGV[1], 'COUNT', 1) == 0 then return {} end
return redis.call('XREVRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
