-- Adds recipients to a draft.
-- ARGV  2 name of this write, 3 rows there were, 4 rows there are then, 5 segments that are
--       added, then number and content of each chunk that is new or longer
-- returns {ok, state} | {no, state} no draft any more | {behind, state} somebody else has
--         added rows | {missing}
local f = redis.call('HMGET', key, 's', 'rows', 'ut')
if not f[1] then return {'missing'} end
if f[3] == ARGV[2] then return {'ok', f[1]} end
if f[1] ~= 'd' then return {'no', f[1]} end
if f[2] ~= ARGV[3] then return {'behind', f[1]} end
for at = 6, #ARGV, 2 do redis.call('HSET', key .. ':r', ARGV[at], ARGV[at + 1]) end
redis.call('HSET', key, 'rows', ARGV[4], 'ut', ARGV[2], 'up', int(now))
redis.call('HINCRBY', key, 'segs', ARGV[5])
return {'ok', f[1]}
