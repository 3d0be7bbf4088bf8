-- Takes a permit from each limit of a request, or says when to ask again. Where
-- permits are many one call takes some at once, for as many requests.
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
-- returns  {'granted', …, lane, period of each limit, microseconds until each permit begins} |
--          {'wait', …, microseconds} |
--          {'epoch', …}: join first | {'clock', …}: Redis' clock is not where the caller expects it |
--          {'stale', …}: a later call has overtaken this one, or the permit was given back already

local KIND, CALL, TOKEN, LEASE = ARGV[8], int(ARGV[9]), ARGV[10], int(ARGV[11])
local LAPSE, LATE = 2000000, 100000
local AHEAD = 20000 -- a grant may be given out this long before it begins: nobody comes to the microsecond
local RANK = {otp = 0, resolve = 1, normal = 3, bulk = 4, sync = 5}
local SHARE = {bulk = 18, sync = 48} -- passed over that often, a lane comes before normal

local s = enter()
local limits = open_all(s, 4, 14, int(ARGV[13]))
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
if s.odd then return reply(s, 'clock') end

-- The first permit's token is the caller's, the others' are made from it.
local function token_of(i) return i == 1 and TOKEN or TOKEN .. '.' .. i end

local function granted(lane, begins)
  local answer = reply(s, 'granted', lane)
  for _, l in ipairs(limits) do answer[#answer + 1] = l.per end
  for _, at in ipairs(begins) do answer[#answer + 1] = at end
  return answer
end

-- The Redis client repeats a command whose answer it did not get, and the first
-- one may arrive after the second: one token, one answer.
local last = redis.call('GET', KEYS[3])
if last then
  local call, token, lane, count, epoch = string.match(last, '^(%d+) (%S+) (%S+) (%d+) (%S+)$')
  if CALL < int(call) then return reply(s, 'stale') end
  if token == TOKEN and int(count) > 0 and epoch == s.epoch then
    local begins = {}
    for i = 1, int(count) do
      if not redis.call('ZSCORE', limits[1].out, token_of(i)) then return reply(s, 'stale') end
      begins[i] = 0
    end
    return granted(lane, begins)
  end
end
local function remember(lane, count)
  local call = {ARGV[9], TOKEN, lane, count, s.epoch}
  redis.call('SET', KEYS[3], table.concat(call, ' '), 'PX', '600000')
end

local by_name = {}
for _, l in ipairs(limits) do
  by_name[l.name] = l
  l.spacing = math.ceil(l.per * 23 / (l.n * 25)) -- at least 0.9 period/n; this leaves room for timers
end

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

-- An entry is late some time after it was told to come back. Where permits are
-- many, waiting for one that does not come costs many; for an OTP it is worth it.
local function late(lane, due)
  local patience = LATE
  if lane ~= 'otp' and lane ~= 'resolve' then
    for _, l in ipairs(limits) do patience = math.min(patience, math.max(5000, 4 * l.spacing)) end
  end
  return s.clock > due + patience
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
  elseif not late(lane, int(due)) then
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
local crowd = best.waited or total > 1 or #rivals > 0
local from, begin, gap = s.clock, s.clock, nil
for _, l in ipairs(limits) do
  gap = math.min(gap or l.spacing, l.spacing)
  l.ready = l.till
  if crowd then
    begin = math.max(begin, l.grant + l.spacing)
    l.ready = math.max(l.ready, l.grant + l.spacing - AHEAD)
  end
  l.full = l.taken >= l.n
  if l.full then
    -- The next permit that should come back, not counting those overdue. A
    -- lease that ends long after the usual round trip tells when it began.
    local next_up = redis.call('ZRANGEBYSCORE', l.out, str(s.clock + LEASE - l.rtt - 50000), 'inf', 'LIMIT', 0, 1, 'WITHSCORES')
    local back = s.clock + 100000
    if next_up[1] ~= '=' then back = math.min(back, int(next_up[2]) - LEASE + l.rtt) end
    local step = math.min(math.max(math.floor(l.spacing / 40), 4000), 20000)
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
  remember('-', 0)
  return reply(s, 'wait', wait)
end

-- A lane that has a share must not be passed over more often than that.
local room = best.rank == 2 and 1 or best.count
local over = {}
if best.lane ~= 'otp' then
  for _, w in pairs(mine) do rivals[#rivals + 1] = w end
  for _, w in ipairs(rivals) do
    if SHARE[w.lane] and w.lane ~= best.lane then
      local id = w.kind .. '|' .. w.lane
      over[id] = true
      room = math.min(room, math.max(1, SHARE[w.lane] - passed[id]))
    end
  end
end

local begins, more = {}, true
while more do
  begins[#begins + 1] = begin - s.clock
  local next_begin = begin
  more = #begins < math.min(room, 16)
  for _, l in ipairs(limits) do
    redis.call('ZADD', l.out, str(s.clock + LEASE + l.per), token_of(#begins))
    l.grant, l.taken = math.max(begin, l.grant), l.taken + 1
    l.ready, l.full = s.clock, l.taken >= l.n
    next_begin = math.max(next_begin, l.grant + l.spacing)
    more = more and not l.full
  end
  begin = next_begin
  more = more and begin <= s.clock + AHEAD
end
for _, l in ipairs(limits) do redis.call('HSET', STATE, l.name .. ':grant', str(l.grant)) end
for id in pairs(over) do redis.call('HINCRBY', STATE, id .. ':passed', #begins) end
if SHARE[best.lane] then redis.call('HSET', STATE, KIND .. '|' .. best.lane .. ':passed', 0) end
best.since, best.count = s.clock, best.count - #begins
for _, w in pairs(mine) do
  if w.count > 0 then note(w, s.clock) else redis.call('HDEL', KEYS[2], w.id) end
end
remember(best.lane, #begins)
return granted(best.lane, begins)
