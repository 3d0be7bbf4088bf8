-- Removes what is left of caps that are idle: their last permit lapsed, or the
-- state in which they were known is lost.
--
-- KEYS[1] state, KEYS[2] caps, KEYS[3…] permits (zset), declarations (hash), who
--         waits (hash) of each cap
-- ARGV[8…] each cap
-- returns {'ok', …} | {'epoch', …}: the caller must join first

local s = enter()
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
for i = 8, #ARGV do
  local k = 3 * (i - 7)
  local l = {name = ARGV[i], out = KEYS[k], rates = KEYS[k + 1], line = KEYS[k + 2]}
  if redis.call('HGET', STATE, l.name .. ':born') == s.epoch then
    redis.call('ZREMRANGEBYSCORE', l.out, '-inf', str(s.clock))
  end
  if not forget(s, l) then redis.call('ZADD', CAPS, str(s.clock + 30000000), l.name) end
end
return reply(s, 'ok')
