-- Gives permits back. A permit that is not out (its lease ran out, or it was
-- given back before) is nothing to do.
--
-- KEYS[1]  state
-- KEYS[2…] permits (zset) of each limit that the permits were taken from
-- ARGV[8]  the lease without its period
-- ARGV[9…] name of each limit, then per permit: token, and after how long the
--          permit is free (0 = at once)
-- returns  {'ok', …} | {'epoch', …}: the caller must join first

local s = enter()
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
for k = 2, #KEYS do
  local name = ARGV[7 + k]
  local rtt = int(redis.call('HGET', STATE, name .. ':rtt'))
  for i = 8 + #KEYS, #ARGV, 2 do
    local lease = redis.call('ZSCORE', KEYS[k], ARGV[i])
    local delay = int(ARGV[i + 1])
    if not lease then
      -- already free
    elseif delay > 0 then
      redis.call('ZADD', KEYS[k], str(math.min(int(lease), s.clock + delay)), ARGV[i])
    else
      redis.call('ZREM', KEYS[k], ARGV[i])
      -- How long an attempt holds its permit beyond the period: the hint for
      -- those who wait. Slow answers count for little.
      local sample = s.clock - int(lease) + int(ARGV[8])
      if sample >= 0 then
        rtt = math.floor(rtt + (math.min(sample, 2 * rtt + 20000) - rtt) / 8)
      end
    end
  end
  redis.call('HSET', STATE, name .. ':rtt', str(rtt))
end
return reply(s, 'ok')
