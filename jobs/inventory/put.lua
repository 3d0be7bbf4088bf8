-- Writes a number's record if it is still the one that was read.
-- KEYS  1 records, 2 order, 3 changes, 4 touched
-- ARGV  1 digits, 2 record as read ('' for none), 3 new record ('' removes it),
--       4 length of the stream of changes, 5 its details were read (1),
--       6… kind, old, new of each change
-- returns 1 written, 0 the record is another one by now
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
if ARGV[5] == '1' then redis.call('SREM', KEYS[4], ARGV[1]) end
for i = 6, #ARGV, 3 do
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], '*', 'number', ARGV[1], 'kind', ARGV[i], 'old', ARGV[i + 1], 'new', ARGV[i + 2])
end
return 1
