-- Moves the coverage of the copy.
-- KEYS  1 the sync's hash (first, closed, epoch, late, last), 2 the hash of windows
-- ARGV  1 'read': 2 epoch, 3 first window that must be read again, 4 late in ms,
--         then for each window its number, when it was read (ms), 1 if it is open
--       1 'reach': 2 epoch, 3 the window to begin at, then windows to forget
-- returns 1, or 0 when the epoch is another: the coverage was moved back meanwhile
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[2] then return 0 end
local function field(name) return tonumber(redis.call('HGET', KEYS[1], name) or '') end

if ARGV[1] == 'reach' then
  local w = tonumber(ARGV[3])
  for _, name in ipairs({'first', 'closed'}) do
    local known = field(name)
    if not known or known > w then redis.call('HSET', KEYS[1], name, ARGV[3]) end
  end
  for i = 4, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  return 1
end

for i = 5, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  -- A reading that began earlier says less.
  if not known or tonumber(string.match(known, '^%d+')) <= tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
local closed = field('closed')
if not closed or tonumber(ARGV[3]) > closed then redis.call('HSET', KEYS[1], 'closed', ARGV[3]) end
redis.call('HSET', KEYS[1], 'late', ARGV[4])
return 1
