-- What scripts do with one limit, of the account or a cap: a table with its name,
-- n, period (per), number a day, and keys.

local LATE = 100000 -- who is told to come back is waited for this long
local AHEAD = 20000 -- a grant may be given out this long before it begins: nobody comes to the microsecond
local RANK = {otp = 0, resolve = 1, normal = 3, bulk = 4, sync = 5}
local SHARE = {bulk = 18, sync = 48} -- passed over that often, a lane comes before normal

-- A number that limits, where 0 is none.
local function least(a, b)
  if a == 0 or b == 0 then return math.max(a, b) end
  return math.min(a, b)
end

-- Several processes may declare different limits for one account: what all of
-- them allow is the smallest number in the longest period, and the fewest a day.
local function effective(s, l)
  local n, per, day, known = l.n, l.per, l.day, nil
  local all = redis.call('HGETALL', l.rates)
  for i = 1, #all, 2 do
    local vn, vper, seen, vday = string.match(all[i + 1], '^(%d+) (%d+) (%d+) ?(%d*)$')
    seen, vn, vper, vday = int(seen), int(vn), int(vper), int(vday ~= '' and vday)
    if all[i] == ME then
      if vn == l.n and vper == l.per and vday == l.day then known = seen end
    elseif math.abs(s.clock - seen) > DECLARED then
      redis.call('HDEL', l.rates, all[i])
    else
      n, per, day = least(n, vn), math.max(per, vper), least(day, vday)
    end
  end
  if not known or math.abs(s.clock - known) > DECLARED / 10 then
    redis.call('HSET', l.rates, ME, l.n .. ' ' .. str(l.per) .. ' ' .. str(s.clock) .. ' ' .. str(l.day))
    if l.cap then redis.call('PEXPIRE', l.rates, 60000) end
  end
  l.n, l.per, l.day = n, per, day
end

-- What 429s have left of a limit, in parts of a million, and when the last of them
-- took some: each burst takes a quarter, and it grows back evenly, from nothing to all
-- of it in the time that is kept with it.
local function share_of(s, learned)
  local share, since, recovery = string.match(learned or '', '^(%d+) (%d+) (%d+)$')
  if not share then return 1000000, 0 end
  local grown = math.floor(math.max(0, s.clock - int(since)) * 1000000 / int(recovery))
  return math.min(1000000, int(share) + grown), int(since)
end

-- Opens one limit: finds what applies to it, frees what has run out, and puts
-- phantoms in place of the permits that a former epoch may have given out. The
-- member '=' marks a set of permits that is whole; it never leaves.
local function open(s, l)
  effective(s, l)
  local f = redis.call('HMGET', STATE, l.name .. ':born', l.name .. ':grant', l.name .. ':rtt', l.name .. ':until',
    l.name .. ':phantoms', l.name .. ':learned')
  l.grant, l.rtt, l.till, l.phantoms = int(f[2]), int(f[3]), int(f[4]), int(f[5])
  if f[1] == s.epoch and not redis.call('ZSCORE', l.out, '=') then lose(s, 'missing') end
  l.gone = s.lost + s.reach + l.per -- when lost permits no longer matter
  if s.reach < 0 then l.gone = 0 end
  if f[1] ~= s.epoch then
    redis.call('DEL', l.out)
    redis.call('ZADD', l.out, 'inf', '=')
    l.phantoms = 0
    if s.clock < l.gone then
      l.phantoms = l.n
      for i = 1, l.n do redis.call('ZADD', l.out, str(l.gone), '~' .. i) end
    end
    redis.call('HSET', STATE, l.name .. ':born', s.epoch, l.name .. ':phantoms', l.phantoms, l.name .. ':gone', str(l.gone))
    if l.cap then redis.call('ZADD', CAPS, str(math.max(l.gone, s.clock + 30000000)), l.name) end
  end
  redis.call('ZREMRANGEBYSCORE', l.out, '-inf', str(s.clock))
  if s.clock >= l.gone then l.phantoms = 0 end
  l.taken = redis.call('ZCARD', l.out) - 1
  if f[6] then
    -- Fewer permits, in a period longer by what is not a whole one.
    local share = share_of(s, f[6])
    local n = math.ceil(l.n * share / 1000000)
    l.per, l.n = math.ceil(l.per * n * 1000000 / (l.n * share)), n
    if share == 1000000 then redis.call('HDEL', STATE, l.name .. ':learned') end
  end
end

-- Opens the limits given as (name, n, period, a day or -1: no cap) from
-- ARGV[arg] on and as (permits, declarations) from KEYS[key] on.
local function open_all(s, key, arg, count)
  local limits = {}
  for i = 0, count - 1 do
    local a = arg + 4 * i
    local l = {name = ARGV[a], n = int(ARGV[a + 1]), per = int(ARGV[a + 2]), day = math.max(0, int(ARGV[a + 3])),
               cap = int(ARGV[a + 3]) >= 0, out = KEYS[key + 2 * i], rates = KEYS[key + 2 * i + 1]}
    limits[i + 1] = l
    open(s, l)
  end
  return limits
end

-- While anybody waits two grants are so far apart: at least 0.9 period/n; this leaves room for timers.
local function space(l) l.spacing = l.n > 0 and math.ceil(l.per * 23 / (l.n * 25)) or 0 end

-- From when on a limit can serve. Grants are spread while anybody waits; whoever
-- finds nobody waiting and a permit free has it at once.
local function look(s, l, crowd, lease)
  l.ready = l.till
  if crowd then l.ready = math.max(l.ready, l.grant + l.spacing - AHEAD) end
  l.full = l.n > 0 and l.taken >= l.n
  if not l.full then return end
  -- The next permit that should come back, not counting those overdue. A
  -- lease that ends long after the usual round trip tells when it began.
  local expected = str(s.clock + lease - l.rtt - 50000)
  local next_up = redis.call('ZRANGEBYSCORE', l.out, expected, 'inf', 'LIMIT', 0, 1, 'WITHSCORES')
  local back = s.clock + 100000
  if next_up[1] ~= '=' then
    local at = int(next_up[2]) - lease + l.rtt
    back = l.cap and at or math.min(back, at)
  elseif l.cap then
    -- Who waits for a slow answer asks less and less often, there being many caps.
    local overdue = redis.call('ZREVRANGEBYSCORE', l.out, '(' .. expected, '-inf', 'LIMIT', 0, 1, 'WITHSCORES')
    local first = redis.call('ZRANGE', l.out, 0, 0, 'WITHSCORES')
    back = s.clock + math.max(100000, math.min(1000000, math.floor((s.clock - int(overdue[2]) + lease - l.rtt) / 4)))
    back = math.max(s.clock + 20000, math.min(back, int(first[2])))
  end
  local step = math.min(math.max(math.floor(l.spacing / 40), 4000), 20000)
  l.ready = math.max(l.ready, back, s.clock + step)
end

local function before(a, b)
  if a.rank ~= b.rank then return a.rank < b.rank end
  if a.since ~= b.since then return a.since < b.since end
  return a.id < b.id
end
