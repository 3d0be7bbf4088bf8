-- Stores records, each only if it is still what the caller has read.
-- KEYS  1 counts, 2 bits of the buckets in use, then the buckets
-- ARGV  for each record: 1 place of its bucket in KEYS, 2 number of the bucket,
--       3 recipient, 4 what was read ('' for none), 5 what it becomes ('' for
--       none), 6 and 7 change of the number of entries and of recipients
-- returns the places, from 1 on, of the records that others have changed meanwhile
local lost, entries, recipients = {}, 0, 0
for i = 1, #ARGV, 7 do
  local bucket, recipient, new = KEYS[tonumber(ARGV[i])], ARGV[i + 2], ARGV[i + 4]
  if (redis.call('HGET', bucket, recipient) or '') ~= ARGV[i + 3] then
    lost[#lost + 1] = (i + 6) / 7
  else
    if new ~= '' then
      redis.call('HSET', bucket, recipient, new)
      redis.call('SETBIT', KEYS[2], ARGV[i + 1], 1)
    else
      redis.call('HDEL', bucket, recipient)
      if redis.call('EXISTS', bucket) == 0 then redis.call('SETBIT', KEYS[2], ARGV[i + 1], 0) end
    end
    entries, recipients = entries + tonumber(ARGV[i + 5]), recipients + tonumber(ARGV[i + 6])
  end
end
if entries ~= 0 then redis.call('HINCRBY', KEYS[1], 'e', entries) end
if recipients ~= 0 then redis.call('HINCRBY', KEYS[1], 'r', recipients) end
return lost
