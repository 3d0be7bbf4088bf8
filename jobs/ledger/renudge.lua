-- Counts a job's further nudges, so that each has a task id of its own.
-- ARGV  1 id, 2 id (16 bytes)
-- returns {number of this nudge} | {missing} only a job that is not final is woken | {newer}
local job = load(ARGV[1], ARGV[2])
if not job or job.cold then return {'missing'} end
if job.newer then return {'newer'} end
set(job, 'ns', int(tonumber(job.f.ns or '0') + 1))
save(job)
return {tonumber(job.f.ns)}
