-- Replaces the records of a minute if nobody else did since they were read.
-- KEYS  1 the block, 2 the day's counters
-- ARGV  1 first five bytes of the block as it was read ('' when there was none),
--       2 the new block ('' removes it), 3 when it lapses (ms since 1970),
--       4 place of the counter in bytes, 5 the counter (4 bytes), 6 when the day lapses
-- returns 1 when it was replaced, 0 when the block is not the one that was read
if redis.call('GETRANGE', KEYS[1], 0, 4) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
  redis.call('PEXPIREAT', KEYS[1], ARGV[3])
end
redis.call('SETRANGE', KEYS[2], ARGV[4], ARGV[5])
redis.call('PEXPIREAT', KEYS[2], ARGV[6])
return 1
