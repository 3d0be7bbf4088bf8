-- Takes one permit from each limit of a request, or says when to ask again.
--
-- One process has one line per kind of request, and asks for the first in it.
-- Every line leaves an entry per lane here: since when it waits, when it was
-- told to come back, and from when on each of its limits could serve it. The
-- order among entries is the same at every limit, so that no two can wait for
-- each other. An entry is passed over while another limit keeps it waiting,
-- while it is late (its process may be stopped), and 2 s after its last call.
--
-- KEYS[1] state, KEYS[2] waiters (hash), KEYS[3] the line's last call (string, 10 minutes)
-- KEYS[4…] permits (zset), declarations (hash) of each limit
-- ARGV[8]  kind        ARGV[9]  number of the call, growing in each line
-- ARGV[10] token       ARGV[11] the lease without its period
-- ARGV[12] who waits in the line, 'otp=1 bulk=20'
-- ARGV[13] number of limits, then name, n, period of each
-- returns  {'granted', …, lane, microseconds until it begins, period of each limit} | {'wait', …, microseconds} |
--          {'epoch', …}: join first | {'clock', …}: Redis' clock is not where the caller expects it |
--          {'stale', …}: a later call has overtaken this one, or the permit was given back already

local KIND, CALL, TOKEN, LEASE = ARGV[8], int(ARGV[9]), ARGV[10], int(ARGV[11])
local LAPSE, LATE = 2000000, 100000
local AHEAD = 5000 -- a grant may be given out this long before it begins: nobody comes to the microsecond
local RANK = {otp = 0, resolve = 1, normal = 3, bulk = 4, sync = 5}
local SHARE = {bulk = 18, sync = 48} -- passed over that often, a lane comes before normal

local s = enter()
local limits = open_all(s, 4, 14, int(ARGV[13]))
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
if s.odd then return reply(s, 'clock') end

local function granted(lane, ahead)
  local answer = reply(s, 'granted', lane, ahead)
  for _, l in ipairs(limits) do answer[#answer + 1] = l.per end
  return answer
end

-- The Redis client repeats a command whose answer it did not get, and the first
-- one may arrive after the second: one token, one permit.
local last = redis.call('GET', KEYS[3])
if last then
  local call, token, lane, epoch = string.match(last, '^(%d+) (%S+) (%S+) (%S+)$')
  if CALL < int(call) then return reply(s, 'stale') end
  if token == TOKEN and lane ~= '-' and epoch == s.epoch then
    if not redis.call('ZSCORE', limits[1].out, TOKEN) then return reply(s, 'stale') end
    return granted(lane, 0)
  end
end
local function remember(lane)
  redis.call('SET', KEYS[3], ARGV[9] .. ' ' .. TOKEN .. ' ' .. lane .. ' ' .. s.epoch, 'PX', '600000')
end

local by_name = {}
for _, l in ipairs(limits) do by_name[l.name] = l end

-- How often a lane was passed over, of those that have a share.
local passed = {}
local function rank(w)
  if not SHARE[w.lane] then return RANK[w.lane] or 9 end
  local id = w.kind .. '|' .. w.lane
  if not passed[id] then passed[id] = int(redis.call('HGET', STATE, id .. ':passed')) end
  return passed[id] >= SHARE[w.lane] and 2 or RANK[w.lane]
end

local function before(a, b)
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.since ~= b.since then return a.since < b.since end
  return a.id < b.id
end

-- The line's own entries.
local mine, best, total = {}, nil, 0
for lane, count in string.gmatch(ARGV[12], '(%l+)=(%d+)') do
  local w = {id = ME .. '|' .. KIND .. '|' .. lane, kind = KIND, lane = lane, since = s.clock, count = int(count)}
  mine[w.id] = w
  total = total + w.count
end

-- The others that compete for one of these limits.
local rivals = {}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local id = all[i]
  local since, due, seen, _, ready = string.match(all[i + 1], '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  local process, kind, lane = string.match(id, '^([^|]+)|([^|]+)|([^|]+)$')
  if math.abs(s.clock - int(seen)) > LAPSE then
    redis.call('HDEL', KEYS[2], id)
  elseif mine[id] then
    mine[id].since, mine[id].waited = int(since), true
  elseif process == ME and kind == KIND then
    redis.call('HDEL', KEYS[2], id)
  elseif s.clock <= int(due) + LATE then
    local shared, held = false, false
    for name, at in string.gmatch(ready, '([^=,]+)=(%d+)') do
      if by_name[name] then shared = true elseif int(at) > s.clock then held = true end
    end
    if shared and not held then
      local w = {id = id, kind = kind, lane = lane, since = int(since)}
      w.rank = rank(w)
      rivals[#rivals + 1] = w
    end
  end
end
for _, w in pairs(mine) do
  w.rank = rank(w)
  if not best or before(w, best) then best = w end
end
local ahead = 0
for _, w in ipairs(rivals) do
  if before(w, best) then ahead = ahead + 1 end
end

-- From when on each limit can serve the line. Grants are spread while anybody
-- waits; whoever finds nobody waiting and a permit free has it at once.
-- They are to be at least 0.9 period/n apart; 0.92 leaves room for timers.
local crowd = best.waited or total > 1 or #rivals > 0
local from, begin, gap = s.clock, s.clock, nil
for _, l in ipairs(limits) do
  local spacing = math.ceil(l.per * 23 / (l.n * 25))
  gap = math.min(gap or spacing, spacing)
  l.ready = l.till
  if crowd then
    begin = math.max(begin, l.grant + spacing)
    l.ready = math.max(l.ready, l.grant + spacing - AHEAD)
  end
  l.full = l.taken >= l.n
  if l.full then
    -- The next permit that should come back, not counting those overdue. A
    -- lease that ends long after the usual round trip tells when it began.
    local next_up = redis.call('ZRANGEBYSCORE', l.out, str(s.clock + LEASE - l.rtt - 50000), 'inf', 'LIMIT', 0, 1, 'WITHSCORES')
    local back = s.clock + 100000
    if next_up[1] ~= '=' then back = math.min(back, int(next_up[2]) - LEASE + l.rtt) end
    local step = math.min(math.max(math.floor(spacing / 40), 1000), 20000)
    l.ready = math.max(l.ready, back, s.clock + step)
  end
  from = math.max(from, l.ready)
end

-- When a permit comes back is a guess. Until the line has seen one, the limits
-- it would need besides are for others.
local function note(w, due)
  local ready = {}
  for i, l in ipairs(limits) do
    ready[i] = l.name .. '=' .. str(l.full and math.max(l.ready, due) + LATE or l.ready)
  end
  redis.call('HSET', KEYS[2], w.id,
    str(w.since) .. ' ' .. str(due) .. ' ' .. str(s.clock) .. ' ' .. w.count .. ' ' .. table.concat(ready, ','))
end

if ahead > 0 or from > s.clock then
  local wait = from - s.clock + ahead * gap
  if from <= s.clock then
    wait = math.min(wait, 25000) -- those before us are expected at any moment
  elseif from - s.clock <= 250000 then
    wait = math.min(wait, 250000)
  end
  wait = math.max(1000, math.min(wait, LAPSE / 2))
  for _, w in pairs(mine) do note(w, s.clock + wait) end
  remember('-')
  return reply(s, 'wait', wait)
end

for _, l in ipairs(limits) do
  redis.call('ZADD', l.out, str(s.clock + LEASE + l.per), TOKEN)
  redis.call('HSET', STATE, l.name .. ':grant', str(math.max(begin, l.grant)))
  l.ready, l.full = s.clock, l.taken + 1 >= l.n
end
if best.lane ~= 'otp' then
  for _, w in pairs(mine) do rivals[#rivals + 1] = w end
  local counted = {}
  for _, w in ipairs(rivals) do
    local id = w.kind .. '|' .. w.lane
    if SHARE[w.lane] and w.lane ~= best.lane and not counted[id] then
      counted[id] = true
      redis.call('HINCRBY', STATE, id .. ':passed', 1)
    end
  end
  if SHARE[best.lane] then redis.call('HSET', STATE, KIND .. '|' .. best.lane .. ':passed', 0) end
end
best.since, best.count = s.clock, best.count - 1
for _, w in pairs(mine) do
  if w.count > 0 then note(w, s.clock) else redis.call('HDEL', KEYS[2], w.id) end
end
remember(best.lane)
return granted(best.lane, begin - s.clock)
