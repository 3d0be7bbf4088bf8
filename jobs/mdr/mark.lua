-- Moves the coverage of the copy.
-- KEYS  1 the sync's hash (first, back, closed, epoch, asked, late, …), 2 the hash of windows
-- ARGV  1 'read': 2 epoch, 3 first window that must be read again, 4 late in ms, 5 the window
--         to which the copy reaches back, then for each window its number, when it was read
--         (ms), 1 if it is open
--       1 'reach': 2 epoch, 3 the window to begin at, 4 the one after the present one,
--         5 a name ('' for none), then windows to forget
-- returns 1, or 0 when the epoch is another: the coverage was moved back meanwhile
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[2] then return 0 end
local function field(name) return tonumber(redis.call('HGET', KEYS[1], name) or '') end
local function set(name, value) redis.call('HSET', KEYS[1], name, string.format('%.0f', value)) end
local first, closed = field('first'), field('closed')
local back = field('back') or first

if ARGV[1] == 'reach' then
  local w = tonumber(ARGV[3])
  if ARGV[5] ~= '' then
    if redis.call('HGET', KEYS[1], 'asked') == ARGV[5] then return 1 end
    redis.call('HSET', KEYS[1], 'asked', ARGV[5])
  end
  if not first then
    back, closed = tonumber(ARGV[4]), tonumber(ARGV[4])
  end
  set('first', math.min(first or w, w))
  set('back', back)
  set('closed', math.min(closed, math.max(w, back)))
  for i = 6, #ARGV do redis.call('HDEL', KEYS[2], ARGV[i]) end
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
  return 1
end

for i = 6, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  -- A reading that began earlier says less.
  if not known or tonumber(string.match(known, '^%d+')) <= tonumber(ARGV[i + 1]) then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
  end
end
-- One that has seen less of the copy than is there now knows less of what is closed.
local reaches, closes = tonumber(ARGV[5]), tonumber(ARGV[3])
if not back or reaches < back or reaches == back and closes > closed then set('closed', closes) end
if not back or reaches < back then set('back', reaches) end
redis.call('HSET', KEYS[1], 'late', ARGV[4])
return 1
