-- Gives permits back. A permit that is not out (its lease ran out, or it was
-- given back before) is nothing to do.
--
-- KEYS[1] state, KEYS[2] caps, KEYS[3…] permits (zset), declarations (hash), who
--         waits (hash; of a cap) of each limit, then counters of days
-- ARGV[8] the lease without its period
-- ARGV[9] number of limits, then of each its name and '1' if it is a cap
-- ARGV[…] per permit: token, number of the limit, after how long it is free (0 =
--         at once), number of the day's counter that it no longer counts for (0 = none)
-- returns {'ok', …} | {'epoch', …}: the caller must join first

local s = enter()
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
local LEASE, count = int(ARGV[8]), int(ARGV[9])
local limits, fields = {}, {}
for i = 1, count do
  local k = 3 * i
  limits[i] = {name = ARGV[8 + 2 * i], cap = ARGV[9 + 2 * i] == '1', out = KEYS[k], rates = KEYS[k + 1], line = KEYS[k + 2]}
  fields[i] = limits[i].name .. ':rtt'
end
local rtts = redis.call('HMGET', STATE, unpack(fields))
for i = 10 + 2 * count, #ARGV, 4 do
  local n, delay, day = int(ARGV[i + 1]), int(ARGV[i + 2]), int(ARGV[i + 3])
  local l = limits[n]
  local lease = redis.call('ZSCORE', l.out, ARGV[i])
  if lease and delay > 0 then
    redis.call('ZADD', l.out, str(math.min(int(lease), s.clock + delay)), ARGV[i])
  elseif lease then
    redis.call('ZREM', l.out, ARGV[i])
    -- How long an attempt holds its permit beyond the period: the hint for
    -- those who wait. Slow answers count for little.
    local sample, rtt = s.clock - int(lease) + LEASE, int(rtts[n])
    if sample >= 0 then
      rtts[n] = math.floor(rtt + (math.min(sample, 2 * rtt + 20000) - rtt) / 8)
      l.sampled = true
    end
    local counter = KEYS[2 + 3 * count + day]
    if day > 0 and int(redis.call('GET', counter)) > 0 then redis.call('DECR', counter) end
  end
end
for i, l in ipairs(limits) do
  if not (l.cap and forget(s, l)) and l.sampled then redis.call('HSET', STATE, fields[i], str(rtts[i])) end
end
return reply(s, 'ok')
