-- Joins the current epoch: declares the process's limits and presents the
-- permits it holds from a former epoch. A presented permit takes the place of a
-- phantom; one too old for that (the phantoms may no longer stand for it) is
-- added. Presenting twice changes nothing.
--
-- KEYS[1]  state, KEYS[2] caps
-- KEYS[3…] permits (zset), declarations (hash) of each limit, those of the account
--          and the caps of permits presented
-- ARGV[8]  number of limits, then name, n, period, a day (-1: no cap) of each
-- ARGV[…]  then per permit and limit: token, number of the limit, what is left of
--          the lease, '1' if it may replace a phantom
-- returns  {'ok', …, some caps that may be idle}

local s = enter()
local count = int(ARGV[8])
local limits = open_all(s, 3, 9, count)
for i = 9 + 4 * count, #ARGV, 4 do
  local token, l, left = ARGV[i], limits[int(ARGV[i + 1])], int(ARGV[i + 2])
  if not redis.call('ZSCORE', l.out, token) then
    if ARGV[i + 3] == '1' and l.phantoms > 0 then
      redis.call('ZREM', l.out, '~' .. l.phantoms)
      l.phantoms = l.phantoms - 1
      redis.call('HSET', STATE, l.name .. ':phantoms', l.phantoms)
    end
    redis.call('ZADD', l.out, str(s.clock + left), token)
    if l.cap then redis.call('ZADD', CAPS, str(s.clock + left), l.name) end
  end
end
return reply(s, 'ok', redis.call('ZRANGEBYSCORE', CAPS, '-inf', str(s.clock), 'LIMIT', 0, 50))
