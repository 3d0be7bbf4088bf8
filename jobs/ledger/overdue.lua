-- Looks at an open intent: is its request over, without an outcome?
-- ARGV  1 id, 2 id (16 bytes), 3 length of the event stream
-- returns {state, ms until the request must be over, or until the records may decide} | {missing}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.s == 's' then
  local left = tonumber(f.wo) - now
  if left > 0 then return {'s', left} end
  set(job, 'un', '1')
  set(job, 'lt', f.k)
  move(job, 'u', REASON.worker_lost, ARGV[3])
  save(job)
end
if f.s == 'u' then return {'u', math.max(tonumber(f.ra) - now, 0)} end
return {f.s, 0}
