-- After Redis has lost writes: what the records say of a job that is queued, and may
-- have been posted without the ledger knowing.
-- ARGV  1 id, 2 id (16 bytes), 3 a (a record is its) | r (a person must look) | p (its
--       purchase may have been posted), 4 MDR, or the number of a purchase, 5 reason, 6 detail, 7 evidence,
--       8 length of the event stream, 9 retention, 10 TTL of claims
-- returns {ok | no | missing | newer}
local id, what, most = ARGV[1], ARGV[3], ARGV[8]
local job = load(id, ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
if job.f.s ~= 'q' or job.f.pg then return {'no'} end
if job.f.t == 'p' and ARGV[4] ~= '' then
  local owner = redis.call('HGET', P .. 'numbers', ARGV[4])
  if owner and owner ~= id then return {'no'} end
  redis.call('HSET', P .. 'numbers', ARGV[4], id)
  set(job, 'nu', ARGV[4])
end
if what == 'p' then
  redis.call('SREM', P .. 'orphan-numbers', ARGV[4])
  set(job, 'un', '1')
  set(job, 'lt', 'lost ' .. int(now)) -- what was planned before this was seen is outrun
  save(job)
  return {'ok'}
end
if what == 'r' then
  set(job, 'e', ARGV[6] ~= '' and ARGV[6] or nil)
  set(job, 'ev', ARGV[7] ~= '' and ARGV[7] or nil)
  move(job, 'r', tonumber(ARGV[5]), most)
  save(job)
  leave_slots(job)
  return {'ok'}
end
local held = cold_get('c', ARGV[4])
if held and string.sub(held, 1, 16) ~= job.bin then return {'no'} end
take(job, ARGV[4], true, most, ARGV[10])
move(job, 'a', REASON.redis_lost_writes, most, ARGV[4])
finish(job, ARGV[9])
return {'ok'}
