-- A breaker: attempts are stopped, one probe at a time.
-- KEYS  1 the prefix of every key
-- ARGV  1 name, 2 check | open | close | peek, 3 token of the caller, 4 ms: lease of a
--       probe, or wait until the next one, 5 reason
-- returns {closed | open | probe, ms to wait, reason, open since}
local key = KEYS[1] .. 'breaker:' .. ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local op, token, ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
local function int(n) return string.format('%.0f', n) end

if op == 'close' then
  redis.call('DEL', key)
  return {'closed', 0, '', 0}
end
if op == 'open' then
  redis.call('HSETNX', key, 'since', int(now))
  redis.call('HSET', key, 'until', int(now + ms), 'reason', ARGV[5])
  redis.call('HDEL', key, 'probe', 'lease')
end
local f = redis.call('HMGET', key, 'since', 'until', 'reason', 'probe', 'lease')
if not f[1] then return {'closed', 0, '', 0} end
local since, wait = tonumber(f[1]), tonumber(f[2]) - now
local lease = tonumber(f[5] or '0') - now
if op == 'check' then
  if f[4] == token and lease > 0 then return {'probe', 0, f[3], since} end
  if wait <= 0 and lease <= 0 then
    redis.call('HSET', key, 'probe', token, 'lease', int(now + ms))
    return {'probe', 0, f[3], since}
  end
end
return {'open', math.max(wait, lease, 1), f[3], since}
