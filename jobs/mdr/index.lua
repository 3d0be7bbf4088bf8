-- Notes in which minutes records and numbers are. A record that is noted for another minute
-- stays so.
-- ARGV  1 when the keys lapse (ms since 1970), 2 how many ids a hash holds (0: any number),
--       3 how many ids n, then n times an id and its minute, then a text to append for each
--       further key
-- KEYS  n hashes, one for each id; then the strings
-- returns for each id the minute that is noted, or -1 when its hash is full
local lapse, room, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = redis.call('TIME')
local ttl = tonumber(lapse) - tonumber(now[1]) * 1000 - 3600000

-- A longer retention counts for keys that are there, too.
local function keep(key, new)
  if new or redis.call('PTTL', key) < ttl then redis.call('PEXPIREAT', key, lapse) end
end

local noted = {}
for i = 1, n do
  local key, id, minute = KEYS[i], ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local size = redis.call('HLEN', key)
  if room > 0 and size >= room then
    noted[i] = tonumber(redis.call('HGET', key, id) or -1)
  elseif redis.call('HSETNX', key, id, minute) == 1 then
    keep(key, size == 0)
    noted[i] = tonumber(minute)
  else
    noted[i] = tonumber(redis.call('HGET', key, id))
  end
end
for i = n + 1, #KEYS do
  local text = ARGV[3 + n + i]
  keep(KEYS[i], redis.call('APPEND', KEYS[i], text) == #text)
end
return noted
