-- Takes the oldest jobs that wait at one place.
-- ARGV  1 where, 2 how many, 3 created from then on (ms; 0: all)
-- returns {ok, how many still wait, id…}
local key, ids = P .. 'w:' .. ARGV[1], {}
for _ = 1, 10 * tonumber(ARGV[2]) do
  local id = redis.call('ZRANGEBYSCORE', key, ARGV[3], 'inf', 'LIMIT', 0, 1)[1]
  if not id then break end
  redis.call('ZREM', key, id)
  local job = hot(id)
  if job and job.f.s == 'q' and job.f.pk == ARGV[1] then
    set(job, 'pk', nil)
    save(job)
    ids[#ids + 1] = id
    if #ids == tonumber(ARGV[2]) then break end
  end
end
local left = redis.call('ZCARD', key)
if left == 0 then redis.call('SREM', P .. 'waits', ARGV[1]) end
return {'ok', left, unpack(ids)}
