-- Replaces a job's warning if it is still the one that was read.
-- ARGV  1 id, 2 id (16 bytes), 3 warning as read, 4 new warning or '', 5 retention
-- returns {1 replaced, 0 it is another one by now} | {missing} | {newer}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
if (job.f.wn or '') ~= ARGV[3] then return {0} end
set(job, 'wn', ARGV[4] ~= '' and ARGV[4] or nil)
if job.cold then
  cold_put('d', job.bin, pack(job), ARGV[5])
else
  save(job)
end
return {1}
