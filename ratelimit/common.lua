-- The beginning of every script that changes something. Times and durations
-- are integers in microseconds.
--
-- KEYS[1]          state (hash): epoch, run, last, clock, lost, reach, and per
--                  limit <limit>:born, :grant, :rtt, :until, :phantoms, :gone,
--                  :learned ('share since'), :granted:<lane>
-- KEYS[2]          caps (zset): those that have state, by when they may be idle
-- ARGV[1]          the calling process
-- ARGV[2]          the epoch it has joined ('' = none)
-- ARGV[3]          the Redis time since which it watches Redis' clock (0 = from now)
-- ARGV[4], ARGV[5] the earliest and latest Redis time it expects (0, 0 = any)
-- ARGV[6]          reach: how long after its grant an attempt that nobody answers for can still be counted
-- ARGV[7]          '' | 'fresh': nobody else can hold a permit | 'jumped': it saw Redis' clock jump
-- returns          {status, Redis time, epoch, why the epoch began, ...}

local STATE, CAPS, ME = KEYS[1], KEYS[2], ARGV[1]
local DECLARED = 10000000 -- a process's limits bind the others this long after its last call

local function int(s) return tonumber(s or 0) or 0 end
local function str(n) return string.format('%.0f', n) end

-- The run id changes with every start of Redis, and with a failover. Where INFO
-- is not to be had it is '-': then only missing state tells of a loss.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
end

-- Begins a new epoch: whatever was known of permits is worth nothing any more.
local function lose(s, reason)
  s.epoch = str(s.now) .. '.' .. ME
  s.reason, s.lost, s.reach = reason, s.clock, int(ARGV[6])
  if ARGV[7] == 'fresh' and reason == 'missing' then s.reach = -1 end
  redis.call('HSET', STATE, 'epoch', s.epoch, 'reason', reason, 'lost', str(s.lost), 'reach', str(s.reach))
end

-- Reads the state and moves the limiter's clock. That clock is the sum of what
-- its callers vouch for: Redis time that nobody watched, or that does not fit
-- the caller's own clock, lets no lease run out.
local function enter()
  local t = redis.call('TIME')
  local now = int(t[1]) * 1000000 + int(t[2])
  local f = redis.call('HMGET', STATE, 'epoch', 'reason', 'run', 'last', 'clock', 'lost', 'reach')
  local s = {now = now, epoch = f[1] or '', reason = f[2] or '', clock = f[1] and int(f[5]) or now,
             lost = int(f[6]), reach = int(f[7])}
  s.odd = int(ARGV[5]) > 0 and (now < int(ARGV[4]) or now > int(ARGV[5]))
  local since = int(ARGV[3])
  if s.odd or since == 0 then since = now end
  if f[1] then s.clock = s.clock + math.max(0, now - math.max(int(f[4]), since)) end
  local run = run_id()
  if not f[1] then
    lose(s, 'missing')
  elseif f[3] ~= run then
    lose(s, 'run_id')
  elseif ARGV[7] == 'jumped' and ARGV[2] == s.epoch then
    lose(s, 'clock')
  end
  redis.call('HSET', STATE, 'run', run, 'last', str(now), 'clock', str(s.clock))
  return s
end

local function reply(s, status, ...)
  return {status, s.now, s.epoch, s.reason, ...}
end
