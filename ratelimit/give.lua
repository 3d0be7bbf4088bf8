-- Gives permits back to a limit. A permit that is not out (its lease ran out,
-- or it was given back before) is nothing to do.
--
-- KEYS[1] state, KEYS[2] permits (zset) of the limit
-- ARGV[8] the lease without its period, ARGV[9] the limit
-- ARGV[10…] per permit: token, after how long it is free (0 = at once)
-- returns {'ok', …} | {'epoch', …}: the caller must join first

local s = enter()
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
local field = ARGV[9] .. ':rtt'
local rtt = int(redis.call('HGET', STATE, field))
for i = 10, #ARGV, 2 do
  local lease, delay = redis.call('ZSCORE', KEYS[2], ARGV[i]), int(ARGV[i + 1])
  if lease and delay > 0 then
    redis.call('ZADD', KEYS[2], str(math.min(int(lease), s.clock + delay)), ARGV[i])
  elseif lease then
    redis.call('ZREM', KEYS[2], ARGV[i])
    -- How long an attempt holds its permit beyond the period: the hint for
    -- those who wait. Slow answers count for little.
    local sample = s.clock - int(lease) + int(ARGV[8])
    if sample >= 0 then
      rtt = math.floor(rtt + (math.min(sample, 2 * rtt + 20000) - rtt) / 8)
    end
  end
end
redis.call('HSET', STATE, field, str(rtt))
return reply(s, 'ok')
