-- A receipt proves that an attempt of a message was accepted.
-- ARGV  1 id, 2 id (16 bytes), 3 attempt, 4 MDR, 5 length of the event stream,
--       6 retention, 7 TTL of claims
-- returns {ok | same | missing | newer, state, displaced id or ''}
local id, attempt, mdr, most = ARGV[1], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local job = load(id, ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.t ~= 'm' then return {'same', f.s, ''} end
if has_mdr(job, mdr) and not f.inf then return {'same', f.s, ''} end
if f.s == 's' and attempt < tonumber(f.n) then
  -- The attempt on the wire has its own outcome.
  local owned, displaced = earlier(job, mdr, most, ARGV[7])
  save(job)
  return {owned and 'ok' or 'same', f.s, displaced}
end
local owned, displaced = take(job, mdr, false, most, ARGV[7])
if not owned then
  if not job.cold then save(job) end
  return {'same', f.s, displaced}
end
if ACCEPTED[f.s] and not has_mdr(job, mdr) then
  return {'same', f.s, displaced} -- left for a twin
elseif ACCEPTED[f.s] then
  event(job, f.s, REASON.receipt, mdr, most)
else
  set(job, 'e', nil)
  set(job, 'ev', nil)
  move(job, 'a', REASON.receipt, most, mdr)
end
finish(job, ARGV[6])
return {'ok', job.f.s, displaced}
