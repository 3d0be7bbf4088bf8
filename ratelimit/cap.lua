-- What scripts do with a cap besides what limit.lua does with every limit. Who
-- waits at it leaves an entry there: since when, and when it was told to come
-- back; an entry is worth nothing some time after that.

local FAR = 10000000 -- a cap is asked again after this long

-- A cap that nothing is out of and nobody waits for leaves nothing behind, once
-- lost permits no longer matter. Who takes it again finds it unborn, which is no
-- loss. No key with permits has a TTL: Redis' clock may jump, the limiter's not.
local function forget(s, l)
  local f = redis.call('HMGET', STATE, l.name .. ':born', l.name .. ':gone')
  if f[1] == s.epoch then
    local members = redis.call('ZCARD', l.out)
    if members == 0 then lose(s, 'missing') end
    if s.clock < int(f[2]) or members ~= 1 or redis.call('EXISTS', l.line) == 1 then return false end
  end
  redis.call('DEL', l.out, l.rates, l.line)
  redis.call('HDEL', STATE, l.name .. ':born', l.name .. ':grant', l.name .. ':rtt', l.name .. ':until',
    l.name .. ':phantoms', l.name .. ':gone')
  redis.call('ZREM', CAPS, l.name)
  return true
end

-- A day's number that is used up needs no waiting to be known.
local function used_up(s, c)
  if c.day == 0 then return false end
  if not c.used then c.used = int(redis.call('GET', c.counters[s.now < c.ends and 1 or 2])) end
  c.spent = c.spent or c.used >= c.day
  return c.spent
end

-- Reads who waits at a cap, once: entries 'since due', and how often the lanes
-- with a share were passed over.
local function waiting_at(s, c)
  c.waiting, c.passed = {}, {}
  local all = redis.call('HGETALL', c.line)
  for i = 1, #all, 2 do
    local since, due = string.match(all[i + 1], '^(%d+) (%d+)$')
    if not since then
      c.passed[all[i]] = int(all[i + 1])
    elseif s.clock > int(due) + LATE then
      redis.call('HDEL', c.line, all[i])
    else
      c.waiting[all[i]] = {id = all[i], lane = string.match(all[i], '[^|]+$'), since = int(since), due = int(due)}
    end
  end
end

local function rank_at(c, lane)
  return SHARE[lane] and (c.passed[lane] or 0) >= SHARE[lane] and 2 or RANK[lane] or 9
end

-- In how long a cap may serve a queue: 0 is now, nil never today, or the epoch
-- has ended.
local function delay_at(s, c, q, lease)
  if not c.taken then
    open(s, c)
    space(c)
    if not c.counters then c.day = 0 end
    if s.epoch == ARGV[2] then waiting_at(s, c) end
  end
  if s.epoch ~= ARGV[2] or used_up(s, c) then return nil end
  local me = {id = q.id, rank = rank_at(c, q.lane), since = q.since}
  local crowd, first = q.count > 1, true
  for id, w in pairs(c.waiting) do
    crowd = true
    if id ~= q.id then
      w.rank = rank_at(c, w.lane)
      -- Nobody stands back for one of the same lane that is not about to come.
      if before(w, me) and (w.rank < me.rank or w.due <= s.clock + 50000) then first = false end
    end
  end
  look(s, c, crowd, lease)
  if c.ready > s.clock then return math.min(c.ready - s.clock, FAR) end
  return first and 0 or 15000
end

local function refuse(s, c, q, delay)
  local due = s.clock + delay
  c.waiting[q.id] = {id = q.id, lane = q.lane, since = q.since, due = due}
  redis.call('HSET', c.line, q.id, str(q.since) .. ' ' .. str(due))
  redis.call('PEXPIRE', c.line, 60000)
end

-- Takes a permit of a cap for a queue.
local function take_at(s, c, q, begin, token, lease)
  redis.call('ZADD', c.out, str(s.clock + lease + c.per), token)
  redis.call('ZADD', CAPS, str(s.clock + lease + c.per), c.name)
  c.grant, c.taken = math.max(begin, c.grant), c.taken + 1
  redis.call('HSET', STATE, c.name .. ':grant', str(c.grant))
  if c.day > 0 then
    local tomorrow = s.now >= c.ends
    local counter = c.counters[tomorrow and 2 or 1]
    c.used = redis.call('INCR', counter)
    if c.used == 1 then
      redis.call('PEXPIREAT', counter, str(math.floor(c.ends / 1000) + (tomorrow and 93600000 or 3600000)))
    end
  end
  if q.count == 1 and c.waiting[q.id] then
    redis.call('HDEL', c.line, q.id)
    c.waiting[q.id] = nil
  end
  if c.passed[q.lane] then redis.call('HDEL', c.line, q.lane) end
  local over = {}
  for _, w in pairs(c.waiting) do
    if q.lane ~= 'otp' and SHARE[w.lane] and w.lane ~= q.lane and not over[w.lane] then
      over[w.lane] = true
      c.passed[w.lane] = redis.call('HINCRBY', c.line, w.lane, 1)
    end
  end
end
