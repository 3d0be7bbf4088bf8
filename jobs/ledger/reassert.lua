-- Writes down again what a worker remembers of a job and of its last attempt, where
-- Redis has lost it.
-- ARGV  1 id, 2 id (16 bytes), 3 type, 4 queue, 5 created, 6 due, 7 nothing is posted after it
--       (0: no bound), 8 its producer gave that (1), 9 subject, 10 payload, 11 slots,
--       12 generation, 13 progress or '', 14 the outcome of one of its attempts was unknown
--       (1), 15 it is not to be posted again (1), 16 posts before this attempt, 17 number it has
--       claimed or '', 18 length of the event stream, then, when an attempt was made:
--       19 token, 20 when its request must be over, 21 when the records may decide,
--       22 first tried, 23 account, 24 fingerprint (hex) or '', 25 the process that posts
-- returns {written | known | newer, state}
local id, most, token = ARGV[1], ARGV[18], ARGV[19]
local job = load(id, ARGV[2])
if job and job.newer then return {'newer', ''} end
local written = not job

local function own(number)
  if number == '' then return end
  local owner = redis.call('HGET', P .. 'numbers', number)
  if owner and owner ~= id then return end
  redis.call('HSET', P .. 'numbers', number, id)
  set(job, 'nu', number)
end

if not job then
  job = {id = id, bin = ARGV[2], f = {p = ARGV[10]}}
  set(job, 'v', '1')
  set(job, 't', ARGV[3])
  set(job, 'l', ARGV[4])
  set(job, 'c', ARGV[5])
  set(job, 'd', ARGV[6])
  set(job, 'x', ARGV[7])
  if ARGV[8] == '1' then set(job, 'xe', '1') end
  set(job, 'i', ARGV[9])
  set(job, 'g', ARGV[12])
  if ARGV[13] ~= '' then set(job, 'pg', ARGV[13]) end
  if ARGV[14] == '1' then set(job, 'un', '1') end
  if ARGV[15] == '1' then set(job, 'nr', 'c') end
  set(job, 'n', ARGV[16])
  own(ARGV[17])
  if ARGV[11] ~= '' then
    set(job, 'o', ARGV[11])
    local turn = redis.call('INCR', P .. 'turn')
    for slot in string.gmatch(ARGV[11], '%S+') do redis.call('ZADD', P .. 'o:' .. slot, turn, id) end
  end
  move(job, 'q', REASON.redis_lost_writes, most)
  save(job)
end
local f = job.f
if not token or job.cold or f.s ~= 'q' or f.lt == token then return {written and 'written' or 'known', f.s} end

own(ARGV[17])
if ARGV[24] ~= '' then
  set(job, 'fp', ARGV[24])
  redis.call('SADD', group(ARGV[24]), id)
end
if ARGV[25] ~= '' then set(job, 'wk', ARGV[25]) end
set(job, 'ab', nil)
set(job, 'k', token)
set(job, 'n', int(math.max(tonumber(f.n), tonumber(ARGV[16])) + 1))
set(job, 'wo', ARGV[20])
set(job, 'ra', ARGV[21])
if not f.fi then set(job, 'fi', ARGV[22]) end
set(job, 'ac', ARGV[23])
move(job, 's', REASON.redis_lost_writes, most)
save(job)
redis.call('ZADD', P .. 'open', ARGV[21], id)
return {'written', 's'}
