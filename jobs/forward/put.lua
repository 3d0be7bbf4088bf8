-- Adds a body and drops what is too much or too old, the oldest first.
-- KEYS  1 stream, 2 sums
-- ARGV  1 body ('' adds none), 2 type of its content, 3 most bodies, 4 most bytes,
--       5 most age (ms), 6 TTL (ms), 7 most to drop in one call
-- returns {dropped for their age, dropped for the bounds}
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local lapsed, full = 0, 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  -- What was in it has lapsed while nobody was there to drop it.
  lapsed = math.max(tonumber(redis.call('HGET', KEYS[2], 'n') or 0), 0)
  redis.call('HDEL', KEYS[2], 'b', 'n')
end
if ARGV[1] ~= '' then
  redis.call('XADD', KEYS[1], '*', 'b', ARGV[1], 't', ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'b', #ARGV[1])
  redis.call('HINCRBY', KEYS[2], 'n', 1)
  redis.call('PEXPIRE', KEYS[1], ARGV[6])
end
for _ = 1, tonumber(ARGV[7]) do
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not first then break end
  local old = now - tonumber(string.match(first[1], '^%d+')) > tonumber(ARGV[5])
  local much = redis.call('XLEN', KEYS[1]) > tonumber(ARGV[3])
    or tonumber(redis.call('HGET', KEYS[2], 'b') or 0) > tonumber(ARGV[4])
  if not old and not much then break end
  redis.call('XDEL', KEYS[1], first[1])
  redis.call('HINCRBY', KEYS[2], 'b', -#first[2][2])
  redis.call('HINCRBY', KEYS[2], 'n', -1)
  if old then lapsed = lapsed + 1 else full = full + 1 end
end
if lapsed > 0 then redis.call('HINCRBY', KEYS[2], 'lapsed', lapsed) end
if full > 0 then redis.call('HINCRBY', KEYS[2], 'full', full) end
if lapsed + full > 0 then redis.call('HSET', KEYS[2], 'at', now) end
return {lapsed, full}
