-- Notes in which minutes records and numbers are. A record that is noted for another minute
-- stays so.
-- ARGV  1 when the keys lapse (ms since 1970), 2 how many ids a hash holds, 3 how many ids n,
--       then n times an id and its minute, then a text to append for each further key
-- KEYS  3 n hashes, three for each id: what the first has no room for is in the second,
--       and so on; then the strings
-- returns for each id the minute that is noted
local lapse, room, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local now = redis.call('TIME')
local ttl = tonumber(lapse) - tonumber(now[1]) * 1000

-- A longer retention counts for keys that are there, too.
local function keep(key)
  if redis.call('PTTL', key) < ttl - 3600000 then redis.call('PEXPIREAT', key, lapse) end
end

local noted = {}
for i = 1, n do
  local id, minute = ARGV[2 + 2 * i], ARGV[3 + 2 * i]
  local key, was
  for level = 1, 3 do
    key = KEYS[3 * i - 3 + level]
    if level == 3 or redis.call('HLEN', key) < room then
      if redis.call('HSETNX', key, id, minute) == 1 then
        keep(key)
      else
        was = redis.call('HGET', key, id)
      end
      break
    end
    was = redis.call('HGET', key, id)
    if was then break end
  end
  noted[i] = was or minute
end
for i = 1, #KEYS - 3 * n do
  redis.call('APPEND', KEYS[3 * n + i], ARGV[3 + 2 * n + i])
  keep(KEYS[3 * n + i])
end
return noted
