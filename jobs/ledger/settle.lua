-- Writes what became of an attempt and claims its MDR.
-- ARGV  1 id, 2 id (16 bytes), 3 token or '', 4 state to go to, 5 reason, 6 MDR or '', 7 it
--       was matched (1), 8 the attempt does not count (1), 9 the number becomes
--       free (1), 10 detail, 11 warning, 12 '' or '=' and the progress,
--       13 length of the event stream, 14 retention, 15 TTL of claims, 16 what the caller
--       without a token has seen of the job ('' does not matter)
-- returns {ok | same | missing | newer, state, displaced id or '', next ids…}
local id, token, to, reason, mdr, most = ARGV[1], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[13]
local inferred = ARGV[7] == '1'
local retention = ARGV[14]
local job = load(id, ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f

local displaced = ''
local function take_mdr()
  if mdr == '' then return end
  local owned
  owned, displaced = take(job, mdr, inferred, most, ARGV[15])
  if not owned then reason = REASON.mdr_claimed_twice end
end

local function answer(verdict, next_ids) return {verdict, job.f.s, displaced, unpack(next_ids or {})} end

-- Accepted, its id pending: the record and a place among the open ones stay until
-- the id is found.
local function pending()
  set(job, 'ap', '1')
  redis.call('ZADD', P .. 'open', f.ra or int(now), id)
  save(job)
  return answer('ok')
end

-- Without a token: a job that is not being posted is ended, or moved on.
local open = f.k == token or (token == '' and f.s == 'q' and (ARGV[16] == '' or ARGV[16] == seen(f)))
if not open then
  if to == 'q' and f.s == 'q' and token ~= '' then
    -- Nothing was posted, and the intent may still be on its way here: it is refused.
    set(job, 'lt', token)
    save(job)
    return answer('same')
  end
  -- A repeated command, or the outcome of an attempt that was outrun. Of those
  -- only acceptance tells something that is not known yet.
  if to ~= 'a' or (mdr == '' and ACCEPTED[f.s]) or (mdr ~= '' and has_mdr(job, mdr) and not f.inf) then
    return answer('same')
  end
  local first = not f.m
  if f.s == 's' then
    local _
    if mdr == '' then set(job, 'ap', '1') else _, displaced = earlier(job, mdr, most, ARGV[15]) end
    save(job)
    return answer('ok')
  end
  take_mdr()
  if not ACCEPTED[f.s] then
    move(job, 'a', REASON.late_proof, most, mdr)
  elseif first and mdr ~= '' then
    event(job, f.s, reason, mdr, most)
  end
  if mdr == '' and not job.cold then return pending() end
  return answer('ok', finish(job, retention))
end

-- That an outcome is unknown tells nothing new of a job that is not on the wire.
if f.s == to and to == 'r' or to == 'u' and f.s ~= 's' then return answer('same') end

if to == 'a' then take_mdr() end
if f.pp then
  -- An earlier attempt is proven accepted, by a record that a twin holds: this one's
  -- own makes it dispensable.
  local _
  if to ~= 'a' then _, displaced = take(job, f.pp, false, most, ARGV[15]) end
  set(job, 'pp', nil)
end
if to ~= 'a' and (f.m or f.ap) and f.t == 'm' then
  -- An earlier attempt is proven accepted.
  to, reason = 'a', REASON.late_proof
end
if ARGV[8] == '1' then set(job, 'n', int(tonumber(f.n) - 1)) end
if ARGV[9] == '1' then release(job) end
if ARGV[12] ~= '' then set(job, 'pg', #ARGV[12] > 1 and string.sub(ARGV[12], 2) or nil) end
set(job, 'e', ARGV[10] ~= '' and ARGV[10] or nil)
if ARGV[11] ~= '' then set(job, 'wn', ARGV[11]) end
if to == 'q' and f.nr and not f.pg then
  to, reason = 'c', REASON.cancelled
  if not f.un then release(job) end
end

if to == 'u' then
  set(job, 'lt', token)
  set(job, 'un', '1')
  move(job, 'u', reason, most)
  save(job)
  return answer('ok')
end
set(job, 'lt', token)
if to ~= 'r' then set(job, 'k', nil) end
move(job, to, reason, most, mdr)
if to == 'a' and not f.m and mdr == '' then return pending() end
if FINAL[to] then return answer('ok', finish(job, retention)) end
redis.call('ZREM', P .. 'open', id)
save(job)
-- One that waits for a person does not hold up those behind it.
return answer('ok', to == 'r' and leave_slots(job) or nil)
