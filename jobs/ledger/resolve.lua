-- Decides a group of messages, as a whole or not at all.
-- ARGV  1 fingerprint (hex), 2 when the read of the records began (ms), 3 what becomes of
--       unknown members without a record ('' nothing, n absent, r review), 4 those absent
--       go to a person (1), 5 reason, 6 detail, 7 evidence, 8 most posts, 9 length of the
--       event stream, 10 retention, 11 TTL of claims, 12 number of members, 13 it was
--       decided behind a fence (1), then for each member id, id (16 bytes), state, attempt;
--       then for each claim id, MDR
-- returns {ok, id, state, …} | {busy} | {early, ms} | {changed}
local fp, began, rest, most, retention, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[9], ARGV[10], ARGV[11]
local count = tonumber(ARGV[12])
local known, order = {}, {}
for i = 0, count - 1 do
  local at = 14 + 4 * i
  known[ARGV[at]] = {bin = ARGV[at + 1], state = ARGV[at + 2], attempt = tonumber(ARGV[at + 3]), claims = {}}
  order[#order + 1] = ARGV[at]
end

-- What Redis may have lost changes what can be concluded.
local fence = redis.call('HMGET', P .. 'fence', 'run', 'up')
if (fence[1] and fence[1] ~= run_id()) or (fence[2] == '1') ~= (ARGV[13] == '1') then return {'changed'} end

-- The group as it is now must be the one that was read.
local wait = 0
for _, id in ipairs(redis.call('SMEMBERS', group(fp))) do
  local member = hot(id)
  local s = member and member.f.s
  if s == 's' then return {'busy'} end
  if not s then redis.call('SREM', group(fp), id) end
  if (s == 'u' or s == 'a') and not known[id] then return {'changed'} end
end
for id, member in pairs(known) do
  local job = load(id, member.bin)
  if not job or job.newer or job.cold then return {'changed'} end
  local f = job.f
  if f.s ~= member.state or tonumber(f.n) ~= member.attempt or f.fp ~= fp then return {'changed'} end
  if ACCEPTED[f.s] and f.m then return {'changed'} end -- its id was pending, and is not any more
  if f.s == 'u' and tonumber(f.ra) > began then wait = math.max(wait, tonumber(f.ra) - now, 1) end
  member.job = job
end
if wait > 0 then return {'early', wait} end
for at = 14 + 4 * count, #ARGV, 2 do
  local member, mdr = known[ARGV[at]], ARGV[at + 1]
  local held = cold_get('c', mdr)
  if not member or (held and string.sub(held, 1, 16) ~= member.bin) then return {'changed'} end
  member.claims[#member.claims + 1] = mdr
end

local answer = {'ok'}
local function changed(job)
  answer[#answer + 1] = job.id
  answer[#answer + 1] = job.f.s
end

for _, id in ipairs(order) do
  local member = known[id]
  local job = member.job
  if #member.claims > 0 then
    for _, mdr in ipairs(member.claims) do take(job, mdr, true, most, ttl) end
    if ACCEPTED[job.f.s] then
      event(job, job.f.s, REASON.matched, member.claims[1], most)
    else
      set(job, 'ev', nil)
      set(job, 'e', nil)
      move(job, 'a', REASON.matched, most, member.claims[1])
    end
    finish(job, retention)
    changed(job)
  elseif rest == 'n' and job.f.s == 'u' and not job.f.ap and not job.f.m then
    absent(job, REASON.proven_absent, ARGV[2], ARGV[4] == '1', tonumber(ARGV[8]), most, retention)
    changed(job)
  elseif rest == 'r' and (job.f.s == 'u' or ACCEPTED[job.f.s]) and not job.f.m then
    set(job, 'e', ARGV[6] ~= '' and ARGV[6] or nil)
    set(job, 'ev', ARGV[7] ~= '' and ARGV[7] or nil)
    move(job, 'r', tonumber(ARGV[5]), most)
    redis.call('ZREM', P .. 'open', id)
    save(job)
    changed(job)
  end
end
return answer
