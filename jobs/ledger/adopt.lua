-- Takes over the open attempt of a job whose outcome is unknown, to decide it.
-- ARGV  1 id, 2 id (16 bytes), 3 the attempt as the caller read it, 4 token of the
--       caller
-- returns {ok | wait | other | missing | newer, state, ms to wait}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.s ~= 'u' or tonumber(f.n) ~= tonumber(ARGV[3]) then return {'other', f.s, 0} end
-- What has reached a step that cannot be undone goes on by steps that can be
-- repeated; all else waits until the records may decide.
local from = f.pg and tonumber(f.wo) or tonumber(f.ra)
if now < from and f.k ~= ARGV[4] then return {'wait', 'u', from - now} end
set(job, 'k', ARGV[4])
save(job)
return {'ok', 'u', 0}
