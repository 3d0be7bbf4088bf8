-- Giving records to jobs: what settle, prove, resolve and the fence have in common.

local ACCEPTED = {a = true, d = true, n = true}

-- Jobs of one fingerprint that were posted and are not over.
local function group(fp) return P .. 'g:' .. fp end

-- open_again makes a job unknown once more.
local function open_again(job, reason, most)
  move(job, 'u', reason, most)
  save(job)
  redis.call('PERSIST', P .. 'j:' .. job.id)
  redis.call('PERSIST', P .. 'p:' .. job.id)
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
    redis.call('PERSIST', P .. 'p:' .. loser.id)
    redis.call('ZADD', P .. 'open', loser.f.ra or int(now), loser.id)
    if loser.f.fp then redis.call('SADD', group(loser.f.fp), loser.id) end
    return ''
  end
  open_again(loser, REASON.displaced, most)
  return loser.id
end

-- take gives a record to a job, by proof or by inference. It returns whether it is
-- the job's now, and the id of a job that had to give it back, or ''.
local function take(job, mdr, inferred, most, ttl)
  if has_mdr(job, mdr) then
    if not inferred and job.f.inf then
      claim(job, mdr, false, ttl)
      set(job, 'inf', nil)
    end
    return true, ''
  end
  local answer = claim(job, mdr, inferred, ttl)
  if answer == 'taken' then
    set(job, 'wn', 'the record belongs to another job too')
    return false, ''
  end
  local displaced = answer ~= '' and displace(answer, mdr, most) or ''
  -- A further record, or one of a job that ended long ago, leaves it as it is.
  local first = not job.f.m and not job.cold
  add_mdr(job, mdr)
  if not inferred then set(job, 'inf', nil) elseif first then set(job, 'inf', '1') end
  return true, displaced
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
