--[[
Tell which commands Redis does not have, and which it would refuse to this user.

ARGV
  1… command and its arguments, separated by spaces: a call that is complete
RETURNS
  0  this Redis cannot tell (before 7.0)
  r  for each, in turn: 1 may be sent, 0 may not, -1 does not exist
]]
if redis.acl_check_cmd == nil then
  return 0
end
local found = {}
for at = 1, #ARGV do
  local words = {}
  for word in string.gmatch(ARGV[at], '%S+') do
    words[#words + 1] = word
  end
  local known, may = pcall(redis.acl_check_cmd, unpack(words))
  found[at] = known and (may and 1 or 0) or -1
end
return found
