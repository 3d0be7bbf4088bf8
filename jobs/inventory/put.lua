-- Stores an observation of a number or a route, and notes what changed.
-- KEYS  1 the entity, 2 the index of its kind, 3 the stream of changes, 4 numbers by
--       when their details were read, 5 touched numbers, 6 gone numbers
-- ARGV  1 n (number) or r (route), 2 its name, 3 when the observation began (0: now),
--       4 listing it was in ('' for none), 5 length of the stream,
--       6 1: details were read, 7 1: only if it is known, 8 1: it is no news,
--       then fields and values
-- returns {1 if it is new or back, number of changes, names of the changed fields…}
--
-- Fields of an entity: v version, al alias, ty type, rc rate center, st state,
-- me messaging enabled (0, 1), pr and fo primary and failover route ('' none),
-- va value of a route, fs first seen, se last seen, sr last listing it was in,
-- lk the complete listing since that lacked it, go gone since, dr details read.
-- a:<field> is when the observation of a field began.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local at = tonumber(ARGV[3])
if at == 0 or at > now then at = now end
local function int(n) return string.format('%.0f', n) end
local known = redis.call('EXISTS', KEYS[1]) == 1
if not known and ARGV[7] == '1' then return {0, 0} end
if known and redis.call('HGET', KEYS[1], 'v') ~= '1' then
  return redis.error_reply('NEWER the record was written by a newer version')
end

local function note(what, old, new)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'v', '1', ARGV[1], ARGV[2], 'k', what, 'o', old, 'w', new)
end

local names = {al = 'alias', pr = 'primary_route', fo = 'failover_route', me = 'messaging', va = 'value'}
local changed = {}
for i = 9, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  local seen = tonumber(redis.call('HGET', KEYS[1], 'a:' .. field) or '0')
  if at >= seen then
    local old = redis.call('HGET', KEYS[1], field)
    if old and old ~= value and names[field] then
      changed[#changed + 1] = names[field]
      note(names[field], old, value)
    end
    redis.call('HSET', KEYS[1], field, value, 'a:' .. field, int(at))
  end
end

local new = 0
if not known then
  new = 1
  redis.call('HSET', KEYS[1], 'v', '1', 'fs', int(at), 'se', int(at))
  redis.call('ZADD', KEYS[2], 0, ARGV[2])
  if ARGV[8] ~= '1' then note('added', '', '') end
else
  -- Whoever saw it after it was said to be gone takes that back.
  local gone = redis.call('HGET', KEYS[1], 'go')
  if gone and at > tonumber(gone) then
    new = 1
    redis.call('HDEL', KEYS[1], 'go')
    redis.call('ZREM', KEYS[6], ARGV[2])
    note('returned', '', '')
  end
  if at > tonumber(redis.call('HGET', KEYS[1], 'se')) then redis.call('HSET', KEYS[1], 'se', int(at)) end
end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'sr', ARGV[4]) end
redis.call('HDEL', KEYS[1], 'lk')

if ARGV[1] == 'n' and redis.call('HEXISTS', KEYS[1], 'go') == 0 then
  if ARGV[6] == '1' then
    local read = math.max(at, tonumber(redis.call('HGET', KEYS[1], 'dr') or '0'))
    redis.call('HSET', KEYS[1], 'dr', int(read))
    -- A touch that came after the details were asked for wants them read again.
    local touched = redis.call('HGET', KEYS[5], ARGV[2])
    if touched and tonumber(touched) > at then
      redis.call('ZADD', KEYS[4], 0, ARGV[2])
    else
      redis.call('HDEL', KEYS[5], ARGV[2])
      redis.call('ZADD', KEYS[4], int(read), ARGV[2])
    end
  elseif new == 1 then
    -- Not known, or back: its routes may be others now.
    redis.call('ZADD', KEYS[4], 0, ARGV[2])
  end
end
return {new, #changed, unpack(changed)}
