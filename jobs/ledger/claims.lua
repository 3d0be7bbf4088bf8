-- Giving records to jobs: what settle, prove, resolve and the fence have in common.

local ACCEPTED = {a = true, d = true, n = true}

-- Jobs of one fingerprint that were posted and are not over.
local function group(fp) return P .. 'g:' .. fp end

-- open_again makes a job unknown once more.
local function open_again(job, reason, most)
  if not job.f.fi then
    -- When it was posted is not known, Redis has lost it: no record proves its
    -- absence, and without a fingerprint it ends with a person.
    set(job, 'fp', nil)
    set(job, 'ra', int(now))
  end
  move(job, 'u', reason, most)
  save(job)
  redis.call('PERSIST', P .. 'j:' .. job.id)
  redis.call('ZADD', P .. 'open', job.f.ra or int(now), job.id)
  if job.f.fp then redis.call('SADD', group(job.f.fp), job.id) end
end

-- displace takes a matched record from a job whose claim gave way to proof. It
-- returns the id of the job that has to be resolved anew, or ''.
local function displace(bin, mdr, most)
  local loser = load(text_id(bin), bin)
  if not loser or loser.newer or loser.cold then return '' end
  drop_mdr(loser, mdr)
  if loser.f.m then
    -- It has other records, and stays what it is.
    save(loser)
    return ''
  end
  set(loser, 'inf', nil)
  if loser.f.ap and ACCEPTED[loser.f.s] then
    -- It was accepted all the same: its id is pending again.
    save(loser)
    redis.call('PERSIST', P .. 'j:' .. loser.id)
    redis.call('ZADD', P .. 'open', loser.f.ra or int(now), loser.id)
    if loser.f.fp then redis.call('SADD', group(loser.f.fp), loser.id) end
    return ''
  end
  open_again(loser, REASON.displaced, most)
  return loser.id
end

-- holder is the claim of another job on a record, '' when it is nobody's or the job's.
local function holder(job, mdr)
  local held = cold_get('c', mdr)
  return held and string.sub(held, 1, 16) ~= job.bin and held or ''
end

local function proven(held) return string.sub(held, 23, 23) == 'p' end

-- a_twin_waits: a message of the same fingerprint is unknown and has no record.
local function a_twin_waits(job)
  for _, id in ipairs(job.f.fp and redis.call('SMEMBERS', group(job.f.fp)) or {}) do
    local twin = id ~= job.id and hot(id)
    if twin and twin.f.s == 'u' and not twin.f.m then return true end
  end
  return false
end

-- swap gives a twin the record that was matched to the job, for the one that is
-- proven to be the job's and was matched to the twin: both stay accepted.
local function swap(job, mdr, held, ttl)
  local twin = load(text_id(string.sub(held, 1, 16)), string.sub(held, 1, 16))
  if not twin or twin.newer or twin.cold then return false end
  local mine = mdrs(job)[1]
  drop_mdr(job, mine)
  add_mdr(job, mdr)
  cold_del('c', mdr)
  claim(job, mdr, false, ttl)
  cold_del('c', mine)
  claim(twin, mine, true, ttl)
  drop_mdr(twin, mdr)
  add_mdr(twin, mine)
  save(twin)
  return true
end

-- prove gives a record to the job whose it is, by an answer or a receipt. Messages of
-- one fingerprint are as good as each other: none is made to be posted again when
-- there are as many records as messages.
local function prove(job, mdr, most, ttl)
  local held, list = holder(job, mdr), mdrs(job)
  if held ~= '' and proven(held) then
    set(job, 'wn', 'the record belongs to another job too')
    return false, ''
  end
  if job.f.inf and held ~= '' and swap(job, mdr, held, ttl) then
    if #list == 1 then set(job, 'inf', nil) end
    return true, ''
  end
  if held ~= '' and #list > 0 then return true, '' end -- it has one, and so has the twin
  if held == '' and job.f.inf and #list >= tonumber(job.f.n) then
    -- It was posted no more often: what was matched to it is another's.
    drop_mdr(job, list[1])
    cold_del('c', list[1])
  elseif held == '' and #list > 0 and a_twin_waits(job) then
    return true, '' -- left for the twin, which is resolved next
  end
  claim(job, mdr, false, ttl)
  local displaced = held ~= '' and displace(string.sub(held, 1, 16), mdr, most) or ''
  add_mdr(job, mdr)
  set(job, 'inf', nil)
  return true, displaced
end

-- take gives a record to a job, by proof or by inference. It returns false when it is
-- another job's, and the id of a job that had to give it back, or ''.
local function take(job, mdr, inferred, most, ttl)
  if has_mdr(job, mdr) then
    if not inferred and job.f.inf then
      claim(job, mdr, false, ttl)
      set(job, 'inf', nil)
    end
    return true, ''
  end
  if not inferred then return prove(job, mdr, most, ttl) end
  if claim(job, mdr, true, ttl) == 'taken' then
    set(job, 'wn', 'the record belongs to another job too')
    return false, ''
  end
  -- A further record, or one of a job that ended long ago, leaves it as it is.
  if not job.f.m and not job.cold then set(job, 'inf', '1') end
  add_mdr(job, mdr)
  return true, ''
end

-- earlier notes the proof that an earlier attempt was accepted, while a later one is
-- on the wire. A record that is matched to a twin stays there until that one's outcome
-- says whether the job needs it.
local function earlier(job, mdr, most, ttl)
  local held = holder(job, mdr)
  if held ~= '' and not proven(held) then
    set(job, 'pp', mdr)
    return true, ''
  end
  return take(job, mdr, false, most, ttl)
end

-- absent ends or puts back a message that is proven not accepted, as was asked of
-- it meanwhile. began is when that proof was read (ms), '' that a person gave it.
-- It returns the jobs whose turn has come.
local function absent(job, reason, began, hold, max_posts, most, retention)
  local f = job.f
  local expires = tonumber(f.x or '0')
  local to = 'q'
  if f.nr then to, reason = 'c', REASON.cancelled
  elseif tonumber(f.n) >= max_posts then to, reason = 'f', REASON.attempts_used_up
  elseif expires > 0 and now >= expires then
    if f.xe then to, reason = 'x', REASON.expired else to, reason = 'f', REASON.too_late end
  elseif hold then to, reason = 'r', REASON.held
  end
  set(job, 'lt', f.k)
  set(job, 'k', nil)
  set(job, 'e', nil)
  set(job, 'ev', nil)
  set(job, 'ab', to == 'q' and began ~= '' and began or nil)
  move(job, to, reason, most)
  if FINAL[to] then return finish(job, retention) end
  redis.call('ZREM', P .. 'open', job.id)
  save(job)
  return {}
end
