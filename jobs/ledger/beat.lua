-- A worker's sign of life, and what follows when Redis has lost writes.
--
-- What Redis keeps of its history is a beginning of it. So the newest beat that is
-- there shows up to when nothing is lost, and a worker whose last acknowledged beat
-- is not there shows that something is.
--
-- {prefix}beats: worker → "<ms> <run of the server> <number of the beat>".
-- {prefix}fence: run the ledger is cleared for; up, from, at, ready, id, raised (for which
-- run): the fence; nrun, nat, nbeat, nwait: another run was noticed, when, the newest
-- beat then, workers that are waited for; last: when a worker stopped in good order.
--
-- ARGV  1 worker, 2 number of this beat ('' the worker stops), 3 number of the last one
--       acknowledged (0 none), 4 when that was, 5 run under which it was acknowledged or
--       after which the worker wrote down again what it remembers ('' none), 6 it did so (1),
--       7 it was stopped or cut off, and cannot tell for others (1), 8 ms for which
--       workers are waited for, 9 ms from now until every lost post is over and to be seen,
--       10 id of a fence that is raised here
-- returns {ok | again: write down first what you remember, now, run, number of the stored
--          beat or -1, 1 when the ledger is cleared for this run, then worker, beat, …}
local BEATS, FENCE = P .. 'beats', P .. 'fence'
local NEAR = 30000      -- who beat this shortly before the newest beat may have posted after it
local GAP = 60000       -- a longer time without beats nobody explains
local MEMORY = 600000   -- how long before a loss of everything a producer's key may be from
local DAY = 86400000
local worker, seq, acked, acked_at, vouched = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local run = run_id()

local function beat_of(text)
  local ms, under, n = string.match(text or '', '^(%d+) (%S+) (%d+)$')
  return tonumber(ms), under, tonumber(n)
end

local names = {'run', 'up', 'from', 'at', 'ready', 'raised', 'nrun', 'nat', 'nbeat', 'nwait', 'last'}
local f = {}
for i, value in ipairs(redis.call('HMGET', FENCE, unpack(names))) do f[names[i]] = value or nil end
local own_at, own_run, own_seq = beat_of(redis.call('HGET', BEATS, worker))

if seq == '' then
  if own_run == run and f.run == run then
    redis.call('HDEL', BEATS, worker)
    redis.call('HSET', FENCE, 'last', int(now))
  end
  return {'ok', int(now), run, -1, 1}
end

local function clear()
  redis.call('HSET', FENCE, 'run', run)
  redis.call('HDEL', FENCE, 'nrun', 'nat', 'nbeat', 'nwait')
  f.run, f.nrun = run, nil
end

local function raise(from)
  if f.up == '1' then from = math.min(from, tonumber(f.from)) end
  clear()
  redis.call('HSET', FENCE, 'up', '1', 'from', int(math.max(from, 0)), 'at', int(now), 'ready', int(now + tonumber(ARGV[9])),
    'id', ARGV[10], 'raised', run)
  f.up, f.at, f.ready, f.raised = '1', now, now + tonumber(ARGV[9]), run
end

local beats = redis.call('HGETALL', BEATS)

-- notice keeps what is there of a former run, before anybody beats again. What an
-- earlier restart left unexplained stays so.
local function notice()
  local newest, waiting = tonumber(f.last or '0'), {}
  for i = 2, #beats, 2 do newest = math.max(newest, beat_of(beats[i]) or 0) end
  for i = 1, #beats, 2 do
    if (beat_of(beats[i + 1]) or 0) >= newest - NEAR then waiting[beats[i]] = true end
  end
  if f.nrun then
    for id in string.gmatch(f.nwait, '%S+') do waiting[id] = true end
    newest = tonumber(f.nbeat)
  end
  local ids = {}
  for id in pairs(waiting) do ids[#ids + 1] = id end
  table.sort(ids)
  f.nrun, f.nat, f.nbeat, f.nwait = run, now, newest, table.concat(ids, ' ')
  redis.call('HSET', FENCE, 'nrun', run, 'nat', int(now), 'nbeat', int(newest), 'nwait', f.nwait)
end

local function answered()
  local waiting = {}
  for id in string.gmatch(f.nwait or '', '%S+') do
    if id ~= worker then waiting[#waiting + 1] = id end
  end
  f.nwait = table.concat(waiting, ' ')
  redis.call('HSET', FENCE, 'nwait', f.nwait)
end

local function judge()
  local newest, noticed = tonumber(f.nbeat), tonumber(f.nat)
  if f.nwait ~= '' then
    if now - noticed > tonumber(ARGV[8]) then raise(newest) end
    return
  end
  local info = redis.pcall('INFO', 'server')
  local uptime = type(info) == 'string' and tonumber(string.match(info, 'uptime_in_seconds:(%d+)')) or 0
  local started = noticed - uptime * 1000
  if started < newest then started = noticed end -- a replica that took over
  if started - newest > GAP then raise(newest) else clear() end
end

local asserted = ARGV[6] == '1' and vouched == run
local gone = acked > 0 and (not own_seq or own_seq < acked)
local again = not asserted and acked > 0 and (gone or vouched ~= run)

if not f.run then
  if acked > 0 then raise(acked_at - MEMORY) else clear() end
elseif f.run ~= run then
  if f.nrun ~= run then notice() end
  if not again then answered() end
  if gone or (again or asserted) and ARGV[7] == '1' then
    raise(tonumber(f.nbeat) > 0 and tonumber(f.nbeat) or acked_at - MEMORY)
  else
    judge()
  end
elseif gone and not (f.raised == run and acked_at <= tonumber(f.at)) then
  raise(own_at or acked_at - MEMORY)
end
if f.up == '1' and tonumber(f.at) + tonumber(ARGV[9]) > tonumber(f.ready) then
  redis.call('HSET', FENCE, 'ready', int(tonumber(f.at) + tonumber(ARGV[9])))
end
if not again then redis.call('HSET', BEATS, worker, int(now) .. ' ' .. run .. ' ' .. seq) end
for i = 1, #beats, 2 do
  if f.run == run and (beat_of(beats[i + 1]) or 0) < now - DAY and beats[i] ~= worker then redis.call('HDEL', BEATS, beats[i]) end
end
return {again and 'again' or 'ok', int(now), run, own_seq or -1, f.run == run and 1 or 0, unpack(beats)}
