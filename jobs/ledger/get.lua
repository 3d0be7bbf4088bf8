-- Reads a job.
-- ARGV  1 id, 2 id (16 bytes)
-- returns {hot, record} | {cold, packed record} | {none}
local raw = redis.pcall('GET', P .. 'j:' .. ARGV[1])
if type(raw) == 'string' then return {'hot', raw} end
if raw then return {'hot', encode(hot(ARGV[1]).f)} end
local value = cold_get('d', ARGV[2])
if value then return {'cold', value} end
return {'none'}
