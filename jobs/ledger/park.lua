-- Lets a queued job wait for a limit of its own, without a task.
-- ARGV  1 id, 2 id (16 bytes), 3 generation, 4 where it waits
-- returns {parked, how many wait there} | {no} it is not queued any more, or outrun | {missing} | {newer}
local job = load(ARGV[1], ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.s ~= 'q' or f.nr or tonumber(ARGV[3]) ~= tonumber(f.g) then return {'no'} end
if f.pk and f.pk ~= ARGV[4] then unpark(job) end
set(job, 'pk', ARGV[4])
save(job)
redis.call('ZADD', P .. 'w:' .. ARGV[4], f.c, job.id)
redis.call('SADD', P .. 'waits', ARGV[4])
return {'parked', redis.call('ZCARD', P .. 'w:' .. ARGV[4])}
