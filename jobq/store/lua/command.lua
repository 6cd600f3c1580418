--[[
Tell supervisors to do something: each reads the stream and knows what is meant for it.

KEYS
  1  control  stream  commands to supervisors
ARGV
  1  most    commands that are kept, more or less
  2  action  what to do
  3  target  the job or the supervisor
  4  queue   that of the job; empty: none
  5  where   where the job runs, as in the index; empty: not known
RETURNS
  id  the entry of the command
]]
redis.call('XDEL', KEYS[1], '0-0') -- deletes nothing; after it, a full Redis lets XADD pass
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'action', ARGV[2], 'target', ARGV[3],
  'queue', ARGV[4], 'where', ARGV[5])
