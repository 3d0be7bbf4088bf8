-- Writes a new campaign down, once.
-- ARGV  2 what its producer gave, 3 hash of that, 4 start, 5 end (ms or 0), 6 window and
--       7 percentage of its brake
-- returns {new | known | conflict, state}
local f = redis.call('HMGET', key, 's', 'h')
if f[1] then return {f[2] == ARGV[3] and 'known' or 'conflict', f[1]} end
redis.call('HSET', key, 'v', '1', 's', 'd', 'd', ARGV[2], 'h', ARGV[3], 'c', int(now), 'up', int(now), 'sb', ARGV[4], 'se', ARGV[5],
  'rows', '0', 'segs', '0', 'at', '0', 'ps', '1', 'nx', '0', 'lo', '0', 'bw', ARGV[6], 'bp', ARGV[7])
redis.call('ZADD', P .. 'cps', int(now), id)
redis.call('SADD', P .. 'cpa', id)
return {'new', 'd'}
