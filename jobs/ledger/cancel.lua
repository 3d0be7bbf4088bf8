-- Stops a job while that is possible.
-- ARGV  1 id, 2 id (16 bytes), 3 length of the event stream, 4 retention
-- returns {cancelled | requested | late | missing | newer, state, next ids…}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if FINAL[f.s] or f.pg then return {'late', f.s} end
-- Behind the fence it may have been posted, and Redis have lost it; one that was put
-- back may have a record by now.
if f.s == 'q' and not fenced(job) and not f.ab then
  if not f.un then release(job) end
  move(job, 'c', REASON.cancelled, ARGV[3])
  return {'cancelled', 'c', unpack(finish(job, ARGV[4]))}
end
-- Its outcome is open: it ends with the outcome, and is not posted again.
if not f.nr then
  set(job, 'nr', 'c')
  note(job, f.s, REASON.cancel_requested)
  event(job, f.s, REASON.cancel_requested, nil, ARGV[3])
  save(job)
end
return {'requested', f.s}
