-- Looks at an open intent: is its request over, without an outcome?
-- A worker without a sign of life will not tell; its request may still be on the way.
-- ARGV  1 id, 2 id (16 bytes), 3 length of the event stream, 4 ms without a sign of
--       life, 5 retention, 6 TTL of claims
-- returns {state, ms until the request must be over, or until the records may decide} | {missing}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.s == 's' then
  local left = tonumber(f.wo) - now
  local beat = f.wk and redis.call('HGET', P .. 'beats', f.wk)
  local silent = beat and now - tonumber(string.match(beat, '^%d+') or now) > tonumber(ARGV[4])
  if left > 0 and not silent then return {'s', left} end
  set(job, 'un', '1')
  set(job, 'lt', f.k)
  if f.pp then take(job, f.pp, false, ARGV[3], ARGV[6]) end
  if f.t == 'm' and (f.m or f.ap) then
    -- An earlier attempt is proven accepted.
    set(job, 'pp', nil)
    move(job, 'a', REASON.late_proof, ARGV[3])
    if f.m then finish(job, ARGV[5]) else save(job) end
    return {job.f.s, 0}
  end
  move(job, 'u', left > 0 and REASON.worker_silent or REASON.worker_lost, ARGV[3])
  save(job)
end
if f.s == 'u' then return {'u', math.max(tonumber(f.ra) - now, 0)} end
return {f.s, 0}
