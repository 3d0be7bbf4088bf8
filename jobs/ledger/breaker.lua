-- A breaker: attempts are stopped, one probe at a time. Every move is one step, and
-- one that comes too late changes nothing: nobody takes another's probe away, and
-- nobody opens again what a probe has just closed.
-- KEYS  1 the prefix of every key
-- ARGV  1 name, 2 peek | check | open | reopen | leave | close, 3 token of the caller,
--       4 ms: lease of a probe, or wait until the next one, 5 reason, 6 the opening that
--       the caller has probed ('' any)
-- returns {closed | open | probe, ms to wait, reason, open since, opening, 1 when this call changed it}
local key = KEYS[1] .. 'breaker:' .. ARGV[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local op, token, ms = ARGV[2], ARGV[3], tonumber(ARGV[4])
local function int(n) return string.format('%.0f', n) end
local f = redis.call('HMGET', key, 'since', 'until', 'reason', 'probe', 'lease', 'opening')
local open, probe, opening = f[1], f[4], f[6] or ''
local changed = 0

-- shut names the opening after its moment: each failed probe makes a new one.
local function shut(since)
  opening = clock[1] .. '.' .. clock[2]
  f[1], f[2], f[3], f[5] = since, int(now + ms), ARGV[5], nil
  redis.call('HSET', key, 'since', since, 'until', f[2], 'reason', f[3], 'opening', opening)
  redis.call('HDEL', key, 'probe', 'lease')
  probe, open, changed = nil, since, 1
end

if op == 'open' and not open then
  shut(int(now))
elseif op == 'reopen' and open and probe == token then
  shut(f[1])
elseif op == 'leave' and open and probe == token then
  redis.call('HSET', key, 'until', int(now))
  redis.call('HDEL', key, 'probe', 'lease')
  f[2], f[5], probe, changed = int(now), nil, nil, 1
elseif op == 'close' and open and (ARGV[6] == '' or ARGV[6] == opening) then
  redis.call('DEL', key)
  open, changed = nil, 1
end
if not open then return {'closed', 0, '', 0, '', changed} end
local since, wait = tonumber(f[1]), tonumber(f[2]) - now
local lease = tonumber(f[5] or '0') - now
if op == 'check' and ((probe == token and lease > 0) or (wait <= 0 and lease <= 0)) then
  redis.call('HSET', key, 'probe', token, 'lease', int(now + ms))
  return {'probe', 0, f[3], since, opening, 1}
end
return {'open', math.max(wait, lease, 1), f[3], since, opening, changed}
