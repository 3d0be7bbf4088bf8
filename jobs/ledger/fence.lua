-- Reads the fence, or ends it.
-- ARGV  1 '' reads | lower | accept, 2 id of the fence, 3 TTL of the orphans in ms, then
--       for each fingerprint (hex) the MDRs that are nobody's, each headed by its length, and
--       128 more when it may be a further one of another post
-- returns {run the ledger is cleared for, run that answers, up, id, from, at, ready, when
--          another run was noticed, workers that are waited for} | {ok | no}
local FENCE = P .. 'fence'
local run = run_id()
local f = redis.call('HMGET', FENCE, 'run', 'up', 'id', 'from', 'at', 'ready', 'nrun', 'nat', 'nwait')
for i = 1, 9 do f[i] = f[i] or '' end
if ARGV[1] == '' then
  local noticed = f[7] == run and f[1] ~= run
  return {f[1], run, f[2], f[3], f[4], f[5], f[6], noticed and f[8] or '', noticed and f[9] or ''}
end
if f[2] ~= '1' or f[3] ~= ARGV[2] then return {'no'} end
if ARGV[1] == 'lower' then
  -- Posts that were lost may not be over yet, or more may be lost by now.
  if f[1] ~= run or now < tonumber(f[6]) then return {'no'} end
  for i = 4, #ARGV, 2 do redis.call('HSET', P .. 'orphans', ARGV[i], ARGV[i + 1]) end
  if #ARGV > 3 then redis.call('PEXPIRE', P .. 'orphans', ARGV[3]) end
end
redis.call('HDEL', FENCE, 'up')
redis.call('HSET', FENCE, 'ended', int(now))
return {'ok'}
