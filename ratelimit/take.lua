-- Takes a permit from each limit of a request, or says when to ask again. Where
-- permits are many one call takes some at once, for as many requests.
--
-- One process has one line per kind of request, and asks for those first in it.
-- Every line leaves an entry per lane here: since when it waits, when it was
-- told to come back, and from when on each of its limits could serve it. The
-- order among entries is the same at every limit, so that no two can wait for
-- each other. An entry is passed over while another limit keeps it waiting,
-- while it is late (its process may be stopped), and 2 s after its last call.
--
-- Within a lane the line presents some queues, each of those who wait for the
-- same caps, that it believes could be served. One whose caps are full costs the
-- others nothing: the next one is served. It leaves an entry at the cap, so that
-- whoever comes for that cap meanwhile knows who is before him.
--
-- KEYS[1] state, KEYS[2] caps, KEYS[3] waiters (hash)
-- KEYS[4] the line's last call (string, 10 minutes)
-- KEYS[5…] permits (zset), declarations (hash) of each limit of the account, then
--          permits, declarations, who waits (hash) of each cap and, of one that has
--          a number a day, the counters of today and of tomorrow (strings)
-- ARGV[8]  kind        ARGV[9]  number of the call, growing in each line
-- ARGV[10] token       ARGV[11] the lease without its period
-- ARGV[12] who waits in the line, 'otp=1@0 bulk=20@5000', and in how many
--          microseconds the lane may have a queue to present
-- ARGV[13] number of limits, then name, n, period, -1 of each
-- ARGV[…]  number of caps, then name, n (0: none), period, number a day (0: none), end of
--          the day of each
-- ARGV[…]  queues: 'lane count age' and the numbers of their caps, first served first
-- returns  {'granted', …, grants, refusals, spent, time} |
--          {'wait', …, microseconds, refusals, spent, time}
--          with grants as {queue, microseconds until it begins, periods of the limits and
--          of the caps in microseconds, whether it counts for the second day of each cap},
--          refusals as queue, cap, microseconds, …, spent as the caps that are, today, and
--          the limiter's time |
--          {'epoch', …}: join first | {'clock', …}: Redis' clock is not where the caller expects it |
--          {'stale', …}: a later call has overtaken this one, or the permit was given back already

local KIND, CALL, TOKEN, LEASE = ARGV[8], int(ARGV[9]), ARGV[10], int(ARGV[11])
local LAPSE = 2000000

local s = enter()
local limits = open_all(s, 5, 14, int(ARGV[13]))
if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
if s.odd then return reply(s, 'clock') end

local caps, queues = {}, {}
do
  local key, arg = 5 + 2 * #limits, 14 + 4 * #limits
  for i = 1, int(ARGV[arg]) do
    local c = {number = i, name = ARGV[arg + 1], n = int(ARGV[arg + 2]), per = int(ARGV[arg + 3]), day = int(ARGV[arg + 4]),
               ends = int(ARGV[arg + 5]), cap = true, out = KEYS[key], rates = KEYS[key + 1], line = KEYS[key + 2]}
    key, arg = key + 3, arg + 5
    if c.day > 0 then
      c.counters = {KEYS[key], KEYS[key + 1]}
      key = key + 2
    end
    caps[i] = c
  end
  for i = arg + 1, #ARGV do
    local lane, count, age, list = string.match(ARGV[i], '^(%l+) (%d+) (%d+)(.*)$')
    local q = {number = i - arg, lane = lane, count = int(count), since = s.clock - int(age), caps = {},
               id = ME .. '|' .. KIND .. '|' .. lane}
    for c in string.gmatch(list, '%d+') do q.caps[#q.caps + 1] = caps[int(c)] end
    queues[#queues + 1] = q
  end
end

-- The first permit's token is the caller's, the others' are made from it.
local function token_of(i) return i == 1 and TOKEN or TOKEN .. '.' .. i end

local grants, refusals = {}, {}

local function answer(status, first)
  local spent = {}
  for i, c in ipairs(caps) do
    if c.spent then spent[#spent + 1] = i end
  end
  return reply(s, status, first, refusals, spent, s.clock)
end

local function grant(q, begins, at)
  local g = {q.number, begins}
  for _, l in ipairs(limits) do g[#g + 1] = l.per end
  for _, c in ipairs(q.caps) do g[#g + 1] = c.per end
  for _, c in ipairs(q.caps) do g[#g + 1] = c.day > 0 and at >= c.ends and 1 or 0 end
  grants[#grants + 1] = g
end

-- The Redis client repeats a command whose answer it did not get, and the first
-- one may arrive after the second: one token, one answer. A call whose answer was
-- lost is made again as it was, with a new number.
local last = redis.call('GET', KEYS[4])
if last then
  local call, token, epoch, at, list = string.match(last, '^(%d+) (%S+) (%S+) (%d+)(.*)$')
  if CALL < int(call) then return reply(s, 'stale') end
  if token == TOKEN and epoch == s.epoch and list ~= '' then
    for i in string.gmatch(list, '%d+') do
      local q = queues[int(i)]
      for _, c in ipairs(q.caps) do
        if not c.taken then open(s, c) end
      end
      if s.epoch ~= ARGV[2] then return reply(s, 'epoch') end
      local first = limits[1] or q.caps[1]
      if not redis.call('ZSCORE', first.out, token_of(#grants + 1)) then return reply(s, 'stale') end
      grant(q, 0, int(at))
    end
    return answer('granted', grants)
  end
  if CALL == int(call) then return answer('wait', 1000) end
end
local function remember()
  local call = {ARGV[9], TOKEN, ARGV[2], str(s.now)}
  for _, g in ipairs(grants) do call[#call + 1] = g[1] end
  redis.call('SET', KEYS[4], table.concat(call, ' '), 'PX', '600000')
end

local by_name = {}
for _, l in ipairs(limits) do by_name[l.name] = l end
for _, l in ipairs(limits) do
  space(l)
  l.ready = s.clock
end

-- How often a lane was passed over, of those that have a share.
local passed = {}
local function rank(w)
  if not SHARE[w.lane] then return RANK[w.lane] or 9 end
  local id = w.kind .. '|' .. w.lane
  if not passed[id] then passed[id] = int(redis.call('HGET', STATE, id .. ':passed')) end
  return passed[id] >= SHARE[w.lane] and 2 or RANK[w.lane]
end

-- The line's own entries.
local mine, total = {}, 0
for lane, count, ready in string.gmatch(ARGV[12], '(%l+)=(%d+)@(%d+)') do
  local w = {id = ME .. '|' .. KIND .. '|' .. lane, kind = KIND, lane = lane, since = s.clock, count = int(count),
             held = s.clock + int(ready), open = false, queues = {}}
  mine[w.id] = w
end
for _, q in ipairs(queues) do
  local w, over = mine[q.id], false
  for _, c in ipairs(q.caps) do over = used_up(s, c) or over end
  if w and not over then
    w.queues[#w.queues + 1] = q
    w.open, w.ready = true, (w.ready or 0) + q.count
    total = total + q.count
  end
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
local all = redis.call('HGETALL', KEYS[3])
for i = 1, #all, 2 do
  local id = all[i]
  local since, due, seen, _, ready = string.match(all[i + 1], '^(%d+) (%d+) (%d+) (%d+) (.*)$')
  local process, kind, lane = string.match(id, '^([^|]+)|([^|]+)|([^|]+)$')
  if math.abs(s.clock - int(seen)) > LAPSE then
    redis.call('HDEL', KEYS[3], id)
  elseif mine[id] then
    mine[id].since, mine[id].waited = int(since), true
  elseif process == ME and kind == KIND then
    redis.call('HDEL', KEYS[3], id)
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
for _, w in pairs(mine) do w.rank = rank(w) end

-- When a permit comes back is a guess. Until the line has seen one, the limits
-- it would need besides are for others.
local function note(w, due)
  local ready = {}
  for i, l in ipairs(limits) do
    ready[i] = l.name .. '=' .. str(l.full and math.max(l.ready, due) + LATE or l.ready)
  end
  if w.held > s.clock then ready[#ready + 1] = 'caps=' .. str(w.held) end
  redis.call('HSET', KEYS[3], w.id,
    str(w.since) .. ' ' .. str(due) .. ' ' .. str(s.clock) .. ' ' .. w.count .. ' ' .. table.concat(ready, ','))
end

local function wait(d)
  d = math.min(d, LAPSE / 2)
  for _, w in pairs(mine) do note(w, math.max(s.clock + math.max(1000, d), math.min(w.held, s.clock + LAPSE / 2))) end
  remember()
  return answer('wait', math.floor(d))
end

-- From when on the limits of the account can serve the line, and when a grant
-- then begins.
local function outlook(crowd)
  local from, begin, gap = s.clock, s.clock, 0
  for i, l in ipairs(limits) do
    look(s, l, crowd, LEASE)
    if crowd then begin = math.max(begin, l.grant + l.spacing) end
    gap = i == 1 and l.spacing or math.min(gap, l.spacing)
    from = math.max(from, l.ready)
  end
  return from, begin, gap
end

-- Serves what can be served of a lane, from begin on, and returns when its next
-- queue may be, if none can.
local function serve(w, begin, room)
  local held, more = math.huge, true
  for _, q in ipairs(w.queues) do
    while more and q.count > 0 do
      local delay, at = 0, begin
      for _, c in ipairs(q.caps) do
        delay = delay_at(s, c, q, LEASE)
        if s.epoch ~= ARGV[2] then return held end
        if delay ~= 0 then
          if delay then
            refuse(s, c, q, delay)
            for _, n in ipairs({q.number, c.number, delay}) do refusals[#refusals + 1] = n end
            held = math.min(held, s.clock + delay)
          end
          break
        end
        if next(c.waiting) or q.count > 1 then at = math.max(at, c.grant + c.spacing) end
      end
      if delay ~= 0 then break end
      local token = token_of(#grants + 1)
      for _, c in ipairs(q.caps) do take_at(s, c, q, at, token, LEASE) end
      grant(q, at - s.clock, s.now)
      q.count = q.count - 1
      more = #grants < room
      for _, l in ipairs(limits) do
        redis.call('ZADD', l.out, str(s.clock + LEASE + l.per), token)
        l.grant, l.taken = math.max(at, l.grant), l.taken + 1
        l.ready, l.full = s.clock, l.n > 0 and l.taken >= l.n
        begin = math.max(begin, l.grant + l.spacing)
        more = more and not l.full
      end
      more = more and begin <= s.clock + AHEAD
    end
    if not more then break end
  end
  return held
end

while true do
  local best
  for _, w in pairs(mine) do
    if w.open and (not best or before(w, best)) then best = w end
  end
  if not best then return wait(0) end -- others may be served: the line knows which
  local ahead = 0
  for _, w in ipairs(rivals) do
    if before(w, best) then ahead = ahead + 1 end
  end
  local crowd = best.waited or total > 1 or #rivals > 0
  local from, begin, gap = outlook(crowd)
  if ahead > 0 or from > s.clock then
    local d = from - s.clock + ahead * gap
    if from <= s.clock then
      d = math.min(d, 25000) -- those before us are expected at any moment
    elseif from - s.clock <= 250000 then
      d = math.min(d, 250000)
    end
    return wait(math.max(1000, d))
  end

  -- A lane that has a share must not be passed over more often than that.
  local room, over = best.rank == 2 and 1 or best.ready, {}
  if best.lane ~= 'otp' then
    local function spare(w)
      if SHARE[w.lane] and w.lane ~= best.lane then
        local id = w.kind .. '|' .. w.lane
        over[id] = true
        room = math.min(room, math.max(1, SHARE[w.lane] - passed[id]))
      end
    end
    for _, w in pairs(mine) do
      if w.open then spare(w) end
    end
    for _, w in ipairs(rivals) do spare(w) end
  end

  local held = serve(best, begin, math.min(room, 16))
  if s.epoch ~= ARGV[2] and #grants == 0 then return reply(s, 'epoch') end
  if #grants > 0 then
    for _, l in ipairs(limits) do
      redis.call('HSET', STATE, l.name .. ':grant', str(l.grant))
      redis.call('HINCRBY', STATE, l.name .. ':granted:' .. best.lane, #grants)
    end
    for id in pairs(over) do redis.call('HINCRBY', STATE, id .. ':passed', #grants) end
    if SHARE[best.lane] then redis.call('HSET', STATE, KIND .. '|' .. best.lane .. ':passed', 0) end
    best.since, best.count = s.clock, best.count - #grants
    for _, w in pairs(mine) do
      if w.count > 0 then note(w, math.max(s.clock, math.min(w.held, s.clock + LAPSE / 2))) else redis.call('HDEL', KEYS[3], w.id) end
    end
    remember()
    s.epoch = ARGV[2] -- in which they were granted, even if a cap has just been found lost
    return answer('granted', grants)
  end
  best.open, best.held = false, held < math.huge and held or s.clock
end
