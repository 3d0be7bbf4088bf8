-- Notes how far a campaign was fed.
-- ARGV  2 pass and 3 row that the feeder began at, 4 pass and 5 row it has come to, 6 the next
--       pass begins not before then (ms or 0), 7 how many rows follow that are put off, those
--       rows, then rows of which there is a job now and that had been put off
-- returns {ok, state} | {held, state} it does not run | {behind, state} another feeder was here | {missing}
local f = redis.call('HMGET', key, 's', 'ps', 'at')
if not f[1] then return {'missing'} end
if f[1] ~= 'r' then return {'held', f[1]} end
if f[2] ~= ARGV[2] or f[3] ~= ARGV[3] then return {'behind', f[1]} end
local puts = tonumber(ARGV[7])
local off = 0
for at = 8, #ARGV do
  local put = at < 8 + puts and 1 or 0
  off = off + put - redis.call('SETBIT', key .. ':l', ARGV[at], put)
end
redis.call('HSET', key, 'ps', ARGV[4], 'at', ARGV[5], 'nx', ARGV[6])
if off ~= 0 then redis.call('HINCRBY', key, 'lo', off) end
return {'ok', f[1]}
