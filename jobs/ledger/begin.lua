-- Checks that a job may be posted now and writes the intent.
-- ARGV  1 id, 2 id (16 bytes), 3 token of this attempt ('' only looks: ready), 4 generation, 5 ms until the
--       permit's write deadline, 6 ms of one request, 7 ms the records get after
--       it, 8 account, 9 most posts, 10 number to claim or '', 11 length of the
--       event stream, 12 retention, 13 what the caller has seen of the job ('' does not
--       matter), 14 fingerprint (hex) or '', 15 the process that posts, 16 ms for which a
--       proof of absence holds, 17 TTL of claims, 18 the caller has not read the job (1): its
--       fingerprint is the one that its producer gave
-- returns {ready} | {go, ms left, attempt, resolve at} | {early, ms} | {behind, id} |
--         {open, state, ms} | {ended, state} | {stale} | {outrun} | {claimed, id} |
--         {fenced, those created before (0: all)} | {recheck} | {held, campaign} | {unread} | {missing} | {newer}; with 18, go is followed by
--         payload, queue, generation, created, due, x, posts so far, '1' if un, subject and fingerprint
local id, token, number, most, fp = ARGV[1], ARGV[3], ARGV[10], ARGV[11], ARGV[14]

-- orphaned takes a record of this fingerprint that became nobody's when Redis lost
-- writes, and says whether it may be a further one of another post.
local function orphaned(fp)
  if fp == '' then return nil end
  local list = redis.call('HGET', P .. 'orphans', fp)
  if not list or list == '' then return nil end
  local size, doubtful = string.byte(list) % 128, string.byte(list) >= 128
  if #list > 1 + size then
    redis.call('HSET', P .. 'orphans', fp, string.sub(list, 2 + size))
  else
    redis.call('HDEL', P .. 'orphans', fp)
  end
  local mdr = string.sub(list, 2, 1 + size)
  if cold_get('c', mdr) then return orphaned(fp) end
  return mdr, doubtful
end

local job = load(id, ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
local before = {}
if ARGV[18] == '1' then
  if f.s == 'q' and not f.cf then return {'unread'} end
  fp = f.cf or ''
  before = {f.p or '', f.l, f.g, f.c, f.d, f.x, f.n, f.un or '', f.i, fp}
end

if f.s == 's' and f.k == token then
  return {'go', math.max(tonumber(f.wo) - tonumber(ARGV[6]) - now, 0), tonumber(f.n), tonumber(f.ra), unpack(before)}
end
if f.s == 's' then return {'open', 's', math.max(tonumber(f.wo) - now, 0)} end
if f.s == 'u' or f.s == 'r' then return {'open', f.s, math.max(tonumber(f.ra or '0') - now, 0)} end
if f.s ~= 'q' then return {'ended', f.s} end
if tonumber(ARGV[4]) ~= tonumber(f.g) then return {'stale'} end
-- An attempt has ended since the caller read the job and planned this one; or this
-- one was settled before its command arrived.
if (ARGV[13] ~= '' and ARGV[13] ~= seen(f)) or (token ~= '' and f.lt == token) then return {'outrun'} end
if tonumber(f.d) > now then return {'early', tonumber(f.d) - now} end
if fenced(job) then return {'fenced', not fence.lost and fence[3] or '0'} end
if f.ab and now - tonumber(f.ab) > tonumber(ARGV[16]) then
  -- A record may have come since; it has to be read again.
  set(job, 'ab', nil)
  set(job, 'ra', int(now))
  open_again(job, REASON.recheck, most)
  return {'recheck'}
end

local function stop(state, reason)
  move(job, state, reason, most)
  finish(job, ARGV[12])
  return {'ended', state}
end
local of = campaign(job)
if (f.nr or of and of.s == 'c') and not f.pg then
  if not f.un then release(job) end
  return stop('c', REASON.cancelled)
end
local expires = tonumber(f.x)
if expires > 0 and now >= expires and not f.pg then
  if f.xe then return stop('x', REASON.expired) end
  return stop('f', REASON.too_late)
end
if of and (of.s == 'p' or of.s == 'd' or of.s == 's') then return {'held', of.id} end
-- Steps after one that cannot be undone are repeatable, and have to end.
if tonumber(f.n) >= tonumber(ARGV[9]) and not f.pg then return stop('f', REASON.attempts_used_up) end

for slot in string.gmatch(f.o or '', '%S+') do
  local head = redis.call('ZRANGE', P .. 'o:' .. slot, 0, 0)[1]
  -- One that is gone must not block the slot for ever.
  while head and head ~= id and redis.call('EXISTS', P .. 'j:' .. head) == 0 do
    redis.call('ZREM', P .. 'o:' .. slot, head)
    head = redis.call('ZRANGE', P .. 'o:' .. slot, 0, 0)[1]
  end
  if head and head ~= id then return {'behind', head} end
end
if token == '' then return {'ready'} end
-- A call that is a minute older than the record of its job is a repetition.
local orphan, doubtful
if f.t == 'm' and drawn(job) < tonumber(f.c) - 60000 then orphan, doubtful = orphaned(fp) end
if orphan and doubtful then
  set(job, 'e', 'Redis lost writes; ' .. text_mdr(orphan) .. ' of that time may be this message, or a part of another')
  move(job, 'r', REASON.redis_lost_writes, most)
  save(job)
  leave_slots(job)
  return {'open', 'r', 0}
end
if orphan then
  -- What Redis had lost: this text was sent under the same id before.
  local owned, _ = take(job, orphan, true, most, ARGV[17])
  if owned then
    set(job, 'fp', fp)
    move(job, 'a', REASON.redis_lost_writes, most, orphan)
    finish(job, ARGV[12])
    return {'ended', 'a'}
  end
end
if number ~= '' then
  local owner = redis.call('HGET', P .. 'numbers', number)
  if owner and owner ~= id then return {'claimed', owner} end
  redis.call('HSET', P .. 'numbers', number, id)
  set(job, 'nu', number)
end

local deadline = now + tonumber(ARGV[5])
if expires > 0 and expires < deadline then deadline = expires end
local over = deadline + tonumber(ARGV[6])
local resolve = over + tonumber(ARGV[7])
if fp ~= '' then
  if f.fp and f.fp ~= fp then redis.call('SREM', group(f.fp), id) end
  set(job, 'fp', fp)
  redis.call('SADD', group(fp), id)
end
if ARGV[15] ~= '' then set(job, 'wk', ARGV[15]) end
set(job, 'ab', nil)
set(job, 'k', token)
set(job, 'n', int(tonumber(f.n) + 1))
set(job, 'ac', ARGV[8])
set(job, 'wo', int(over))
set(job, 'ra', int(resolve))
if not f.fi then set(job, 'fi', int(now)) end
for slot in string.gmatch(f.o or '', '%S+') do redis.call('HSET', P .. 'turns', slot, id) end
move(job, 's', 0, most)
save(job)
redis.call('ZADD', P .. 'open', int(resolve), id)
return {'go', deadline - now, tonumber(f.n), resolve, unpack(before)}
