-- Writes a new job down, once.
-- ARGV  1 id, 2 id (16 bytes), 3 type, 4 subject, 5 nonce of this call, 6 due, 7 expires, 8 what
--       is added to the due time when no expires is given (0: no bound), 9 slots, 10 why it is
--       refused, 11 why it is blocked, 12 length of the event stream, 13 retention, 14 number of the
--       record's fields that its producer knows, 15 these, packed
-- returns {new | known | conflict | newer, state, generation} | {held} its campaign does not run
local id, bin, kind = ARGV[1], ARGV[2], ARGV[3]
local known = load(id, bin)
if known then
  if known.newer then return {'newer'} end
  local same = known.f.t == kind and string.sub(known.f.i, 17) == string.sub(ARGV[4], 17)
  local verdict = same and (known.f.cn == ARGV[5] and 'new' or 'known') or 'conflict'
  return {verdict, known.f.s, tonumber(known.f.g)}
end

local due, expires = tonumber(ARGV[6]), tonumber(ARGV[7])
if due <= now then due = 0 end
if expires == 0 and ARGV[8] ~= '0' then expires = math.max(due, now) + tonumber(ARGV[8]) end
local job = {id = id, bin = bin, f = {t = kind}}
local of = campaign(job)
if of and of.s ~= 'r' then return {'held'} end

-- The fields that depend on Redis' clock and on what is known here come before the others.
local function packed(name, value) return '\161' .. name .. string.char(160 + #value) .. value end
local fields = tonumber(ARGV[14]) + 4
local record = string.char(222, math.floor(fields / 256), fields % 256) .. packed('c', int(now)) .. packed('d', int(due)) ..
  packed('x', int(expires)) .. packed('s', 'q') .. ARGV[15]

local function ended(state, why, reason)
  job.f = decode(record)
  job.f.s, job.f.p = nil, nil
  set(job, 'e', why)
  move(job, state, reason, ARGV[12])
  finish(job, ARGV[13])
  return {'new', state, 1}
end
if ARGV[10] ~= '' then return ended('f', ARGV[10], REASON.invalid) end
if ARGV[11] ~= '' then return ended('b', ARGV[11], REASON.opted_out) end

if ARGV[9] ~= '' then
  local turn = redis.call('INCR', P .. 'turn')
  for slot in string.gmatch(ARGV[9], '%S+') do redis.call('ZADD', P .. 'o:' .. slot, turn, id) end
end
-- The history starts at c, with this state: it needs no line.
count(P .. 'n', kind .. 'q', 1)
if of then tally(job, of, 'q', 0) end
event(job, 'q', 0, nil, ARGV[12])
redis.call('SET', P .. 'j:' .. id, record)
return {'new', 'q', 1}
