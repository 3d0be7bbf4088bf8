-- Counts a job's further nudges, so that each has a task id of its own.
-- ARGV  1 id, 2 id (16 bytes)
-- returns {number of this nudge} | {missing}: only a job that is not final is woken
local key = P .. 'j:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return {'missing'} end
return {redis.call('HINCRBY', key, 'ns', 1)}
