-- Reads a job.
-- ARGV  1 id, 2 id (16 bytes)
-- returns {hot, payload, field, value, …} | {cold, packed record} | {none}
local flat = redis.call('HGETALL', P .. 'j:' .. ARGV[1])
if #flat > 0 then return {'hot', redis.call('GET', P .. 'p:' .. ARGV[1]) or '', unpack(flat)} end
local value = cold_get('d', ARGV[2])
if value then return {'cold', value} end
return {'none'}
