-- Writes a new job down, once.
-- ARGV  1 id, 2 id (16 bytes), 3 type, 4 queue, 5 due, 6 expires, 7 what is added to
--       the due time when no expires is given (0: no bound), 8 subject, 9 payload,
--       10 slots, 11 nonce of this call, 12 why it is refused, 13 length of the
--       event stream, 14 retention, 15 fingerprint it will be posted under (hex) or '',
--       16 why it is blocked
-- returns {new | known | conflict | newer, state, generation} | {held} its campaign does not run
local id, bin, kind, subject, nonce, refused = ARGV[1], ARGV[2], ARGV[3], ARGV[8], ARGV[11], ARGV[12]
local known = load(id, bin)
if known then
  if known.newer then return {'newer'} end
  local same = known.f.t == kind and string.sub(known.f.i, 17) == string.sub(subject, 17)
  local verdict = same and (known.f.cn == nonce and 'new' or 'known') or 'conflict'
  return {verdict, known.f.s, tonumber(known.f.g)}
end

local due, expires, grace = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if due <= now then due = 0 end
local job = {id = id, bin = bin, f = {}, changed = {}}
local of = campaign(job)
if of and of.s ~= 'r' then return {'held'} end
set(job, 'v', '1')
set(job, 't', kind)
set(job, 'l', ARGV[4])
set(job, 'g', '1')
set(job, 'c', int(now))
set(job, 'n', '0')
set(job, 'i', subject)
if refused ~= '' then
  set(job, 'e', refused)
  move(job, 'f', REASON.invalid, ARGV[13])
  finish(job, ARGV[14])
  return {'new', 'f', 1}
end
if ARGV[16] ~= '' then
  set(job, 'e', ARGV[16])
  move(job, 'b', REASON.opted_out, ARGV[13])
  finish(job, ARGV[14])
  return {'new', 'b', 1}
end

set(job, 'd', int(due))
set(job, 'cn', nonce)
if ARGV[15] ~= '' then set(job, 'cf', ARGV[15]) end
if expires > 0 then
  set(job, 'x', int(expires))
  set(job, 'xe', '1')
else
  set(job, 'x', grace > 0 and int(math.max(due, now) + grace) or '0')
end
if ARGV[10] ~= '' then
  set(job, 'o', ARGV[10])
  local turn = redis.call('INCR', P .. 'turn')
  for slot in string.gmatch(ARGV[10], '%S+') do redis.call('ZADD', P .. 'o:' .. slot, turn, id) end
end
-- The history starts at c, with this state: it needs no line.
count(P .. 'n', kind .. 'q', 1)
if of then tally(job, of, 'q', 0) end
set(job, 's', 'q')
event(job, 'q', 0, nil, ARGV[13])
save(job)
redis.call('SET', P .. 'p:' .. id, ARGV[9])
return {'new', 'q', 1}
