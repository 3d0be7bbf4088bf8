-- Carries out a person's decision on a job in review.
-- ARGV  1 id, 2 id (16 bytes), 3 it was accepted (1) or not (0), 4 most posts, 5 length of
--       the event stream, 6 retention
-- returns {ok | no | missing | newer, state}
local id, most, retention = ARGV[1], ARGV[5], ARGV[6]
local job = load(id, ARGV[2])
if not job then return {'missing'} end
if job.newer then return {'newer'} end
local f = job.f
if f.s ~= 'r' then return {'no', f.s} end
local accepted = ARGV[3] == '1'

local function stop(state)
  move(job, state, REASON.ruled, most)
  finish(job, retention)
end
local function again()
  set(job, 'un', nil)
  set(job, 'e', nil)
  set(job, 'ev', nil)
  set(job, 'lt', f.k)
  set(job, 'k', nil)
  move(job, 'q', REASON.ruled, most)
  save(job)
end

if f.t == 'm' then
  if accepted then
    set(job, 'e', nil)
    set(job, 'ap', nil)
    stop('a')
  else
    set(job, 'un', nil)
    set(job, 'ap', nil)
    absent(job, REASON.ruled, '', false, tonumber(ARGV[4]), most, retention)
  end
elseif f.t == 'p' then
  if accepted and not f.pg then
    if not f.nu then return {'no', f.s} end
    -- Bought; its alias and routes follow.
    set(job, 'pg', '{"v":1,"number":"' .. f.nu .. '"}')
  end
  -- A number that was on the account before the purchase was ever posted is not its.
  if not accepted and not f.fi then release(job) end
  again()
elseif accepted then
  stop('o')
else
  -- Others of its slots went on meanwhile: setting it now would put back what they set.
  set(job, 'e', 'not set; enqueue it again if it is still wanted')
  stop('f')
end
return {'ok', job.f.s}
