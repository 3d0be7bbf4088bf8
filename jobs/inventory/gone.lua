-- Notes that a number or a route is not there any more.
-- KEYS  as in put.lua
-- ARGV  1 n or r, 2 its name, 3 when the question began, 4 the listing that lacked it,
--       5 length of the stream, 6 1: it is gone only when an earlier complete
--       listing lacked it too, 7 it must not have been seen since then
-- returns 'gone' when it is from now on, 'before' when it was already, 'unknown',
--         or 'kept'
local gone = redis.call('HGET', KEYS[1], 'go')
local seen = redis.call('HGET', KEYS[1], 'se')
local function forget()
  redis.call('ZREM', KEYS[4], ARGV[2])
  redis.call('HDEL', KEYS[5], ARGV[2])
end
if gone or not seen then
  if ARGV[1] == 'n' then forget() end
  return gone and 'before' or 'unknown'
end
-- It was in the listing after all, or somebody has seen it since.
if redis.call('HGET', KEYS[1], 'sr') == ARGV[4] or tonumber(seen) >= tonumber(ARGV[7]) then return 'kept' end
if ARGV[6] == '1' then
  local before = redis.call('HGET', KEYS[1], 'lk')
  if not before then redis.call('HSET', KEYS[1], 'lk', ARGV[4]) end
  if not before or before == ARGV[4] then return 'kept' end
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'v', '1', ARGV[1], ARGV[2], 'k', 'removed', 'o', '', 'w', '')
if ARGV[1] == 'r' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('HSET', KEYS[1], 'go', ARGV[3])
  redis.call('ZADD', KEYS[6], 0, ARGV[2])
  forget()
end
return 'gone'
