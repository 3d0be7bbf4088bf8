-- Changes a campaign's state.
-- ARGV  2 start | pause | resume | cancel, and of the feeder: due (its start time has come),
--       ended (its end time has), done, stale (its upload was given up); 3 retention
-- returns {ok, state} it is so now | {no, state} | {empty, state} | {busy, state} | {missing}
local op, retention = ARGV[2], ARGV[3]
local f = redis.call('HMGET', key, 's', 'rows', 'sb', 'st', 'at', 'lo', 'se')
local s, rows = f[1], tonumber(f[2] or '0')
if not s then return {'missing'} end
if redis.call('HGET', key, 'v') ~= '1' then return {'no', s} end

-- run lets it run, or wait for its start time.
local function run()
  if f[4] or tonumber(f[3]) <= now then
    s = 'r'
    redis.call('HSET', key, 's', 'r', 'st', f[4] or int(now))
  else
    s = 's'
    redis.call('HSET', key, 's', 's')
  end
  return {'ok', s}
end

-- idle: none of its jobs is on its way any more.
local function idle()
  for _, n in ipairs(redis.call('HMGET', key .. ':n', 'q', 's', 'u')) do
    if tonumber(n or '0') > 0 then return false end
  end
  return true
end

local function fresh()
  redis.call('DEL', key .. ':b')
  redis.call('HDEL', key .. ':n', 'bn', 'bf')
  redis.call('HDEL', key, 'pw', 'pt', 'pn', 'pf', 'pr')
end

if op == 'start' then
  if s ~= 'd' then return {(s == 's' or s == 'r' or s == 'p' or s == 'o') and 'ok' or 'no', s} end
  if redis.call('EXISTS', key .. ':u') == 1 then return {'busy', s} end
  if rows == 0 then return {'empty', s} end
  return run()
elseif op == 'pause' then
  if s == 'p' then return {'ok', s} end
  if s ~= 'r' and s ~= 's' then return {'no', s} end
  redis.call('HSET', key, 's', 'p', 'pw', 'p', 'pt', int(now))
  return {'ok', 'p'}
elseif op == 'resume' then
  if s == 'r' or s == 's' then return {'ok', s} end
  if s ~= 'p' then return {'no', s} end
  fresh()
  return run()
elseif op == 'cancel' then
  if s == 'c' then return {'ok', s} end
  if s == 'o' or s == 'f' then return {'no', s} end
  over('c', retention)
  return {'ok', 'c'}
elseif op == 'due' then
  if s == 's' and tonumber(f[3]) <= now then return run() end
elseif op == 'ended' then
  -- What is queued ends as expired, for which it has to run.
  if tonumber(f[7]) > 0 and tonumber(f[7]) <= now and (s == 'p' or s == 's') then
    fresh()
    redis.call('HSET', key, 's', 'r', 'st', f[4] or int(now))
    return {'ok', 'r'}
  end
elseif op == 'done' then
  local fed = tonumber(f[5]) >= rows and tonumber(f[6]) == 0
  local ended = tonumber(f[7]) > 0 and tonumber(f[7]) <= now
  if s == 'r' and (fed or ended) and idle() then
    over('o', retention)
    return {'ok', 'o'}
  end
elseif op == 'stale' then
  if s == 'd' and tonumber(redis.call('HGET', key, 'up')) + 86400000 < now and redis.call('EXISTS', key .. ':u') == 0 then
    over('f', retention)
    return {'ok', 'f'}
  end
end
return {'no', s}
