-- Common to the scripts of the ledger: Redis' clock, a job's record, its moves.
-- KEYS  1: the prefix of every key of the product, with its hash tag.
-- Other keys are made from it; they share its slot. Times are ms since 1970.
--
-- Fields of {prefix}j:<uuid> (a job that is not final; record.lua; all values are texts):
--   v version, p payload, t type, s state, g generation, l queue, c created, d due or 0,
--   x nothing is posted after it (0: no bound), xe its producer gave x,
--   n posts, i sender, recipient and content hash (24 bytes), cn nonce of its creation,
--   o slots it takes in turn, nu number it has claimed, pg progress, e detail, wn warning,
--   k token of the open attempt, lt token of the last settled one, ac account,
--   wo when its request must be over, ra when the records may decide, fi first tried,
--   nr no-resend mark (c: cancel), m MDR ids (each headed by its length),
--   un an outcome of it was unknown once, ap accepted by an earlier attempt whose id is
--   pending, inf its MDR was found by matching, ns further nudges so far, h history:
--   state, reason, hundredths of a second since c in 4 bytes, for each change,
--   fp fingerprint (hex) once it was posted, cf the same as its producer gave it, wk the process that posts it, ab when the read began that
--   proved it absent, ev evidence for a person, pp the record of an earlier attempt that
--   is proven, but matched to a twin, pk where it waits for a limit of its own.

local P = KEYS[1]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local FINAL = {a = true, d = true, n = true, o = true, f = true, x = true, c = true, b = true}

local function int(n) return string.format('%.0f', n) end

-- The run id changes with each start of Redis, and with a failover. Where INFO is
-- not to be had it is '-'.
local function run_id()
  local info = redis.pcall('INFO', 'server')
  return type(info) == 'string' and string.match(info, 'run_id:(%w+)') or '-'
end

-- bytes writes n big-endian in k bytes, an even number; unbytes reads it.
local function bytes(n, k)
  local low = string.char(math.floor(n / 256) % 256, n % 256)
  if k == 2 then return low end
  return bytes(math.floor(n / 65536), k - 2) .. low
end

local function unbytes(s)
  local n = 0
  for i = 1, #s do n = n * 256 + string.byte(s, i) end
  return n
end

local function text_id(bin)
  local hex = string.gsub(bin, '.', function(ch) return string.format('%02x', string.byte(ch)) end)
  return table.concat({string.sub(hex, 1, 8), string.sub(hex, 9, 12), string.sub(hex, 13, 16), string.sub(hex, 17, 20), string.sub(hex, 21)}, '-')
end

local function text_mdr(mdr)
  if #mdr ~= 16 then return (string.gsub(mdr, '%z', '')) end
  return 'mdr2-' .. string.gsub(text_id(mdr), '-', '')
end

-- hot reads a job that is not final; nil when there is none.
local function hot(id)
  local raw = redis.pcall('GET', P .. 'j:' .. id)
  if type(raw) == 'string' then return {id = id, f = decode(raw)} end
  if not raw then return nil end
  -- An earlier version kept it as a hash, and its payload apart.
  local flat, f = redis.call('HGETALL', P .. 'j:' .. id), {}
  for i = 1, #flat, 2 do f[flat[i]] = flat[i + 1] end
  f.p = redis.call('GET', P .. 'p:' .. id) or ''
  return {id = id, f = f, changed = true, apart = true}
end

-- set changes a field of a job; nil removes it. save writes what was changed.
local function set(job, field, value)
  if job.f[field] == value then return end
  job.f[field] = value
  job.changed = true
end

local function save(job)
  if not job.changed then return end
  redis.call('SET', P .. 'j:' .. job.id, encode(job.f), 'KEEPTTL')
  if job.apart then redis.call('DEL', P .. 'p:' .. job.id) end
  job.changed, job.apart = false, false
end

local function note(job, state, reason)
  local h = job.f.h or ''
  if #h >= 240 then h = string.sub(h, 1, 60) .. string.sub(h, 67) end
  local since = math.min(math.floor((now - tonumber(job.f.c)) / 10), 4294967295)
  set(job, 'h', h .. state .. string.char(reason) .. bytes(math.max(since, 0), 4))
end

local function event(job, state, reason, mdr, most)
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', most, '*', 'e',
    '\1' .. job.bin .. job.f.t .. state .. string.char(reason) .. (mdr or ''))
end

-- seen changes with each attempt that ends.
local function seen(f) return 'v' .. (f.lt or '') end

-- drawn is when a client drew a job's id for one call (a UUIDv7); 0 for an id made of
-- a producer's key or of a task.
local function drawn(job)
  return string.sub(job.id, 15, 15) == '7' and unbytes(string.sub(job.bin, 1, 6)) or 0
end

-- fenced: Redis may have lost that this job was posted. One under an id that is older
-- than its record, or may be, may be new here and posted before.
local fence
local function fenced(job)
  if not fence then
    fence = redis.call('HMGET', P .. 'fence', 'run', 'up', 'at')
    fence.lost = fence[1] and fence[1] ~= run_id()
  end
  if fence.lost then return true end
  return fence[2] == '1' and math.min(tonumber(job.f.c), drawn(job)) < tonumber(fence[3] or '0')
end

-- release gives a purchase's number free.
local function release(job)
  if not job.f.nu then return end
  if redis.call('HGET', P .. 'numbers', job.f.nu) == job.id then redis.call('HDEL', P .. 'numbers', job.f.nu) end
  set(job, 'nu', nil)
end

-- count changes a number that a hash keeps, at the end of the script for all calls.
local function count(key, field, by)
  local fields = counts[key] or {}
  counts[key] = fields
  fields[field] = (fields[field] or 0) + by
end

-- campaign is what the job's campaign allows, where the job is a row of one: then its id
-- is the campaign's, a UUID of version 8, with the row's number in the last four bytes.
-- Fields of {prefix}cp:<id> that are read here: s state, bw and bp the window and the
-- percentage of its brake.
local campaigns = {}
local function campaign(job)
  if job.of ~= nil then return job.of end
  job.of = false
  if string.sub(job.id, 15, 15) ~= '8' then return false end
  local id = string.sub(job.id, 1, 28) .. '00000000'
  if campaigns[id] == nil then
    local of = redis.call('HMGET', P .. 'cp:' .. id, 's', 'bw', 'bp')
    campaigns[id] = of[1] and {id = id, s = of[1], bw = tonumber(of[2] or '0'), bp = tonumber(of[3] or '0')} or false
  end
  job.of = campaigns[id]
  return job.of
end

local function row(job) return tonumber(string.sub(job.id, 29), 16) end

-- brake pauses a campaign when more than its percentage of the last messages was refused;
-- of the first fifth of the window as if so many had been posted.
local function brake(of, refused, reason)
  local key = P .. 'cp:' .. of.id
  local n = redis.call('HINCRBY', key .. ':n', 'bn', 1)
  local was = redis.call('SETBIT', key .. ':b', (n - 1) % of.bw, refused)
  if was == refused then return end
  local bad = redis.call('HINCRBY', key .. ':n', 'bf', refused - was)
  local known = math.min(n, of.bw)
  if refused == 0 or of.s ~= 'r' or bad * 100 <= of.bp * math.max(known, math.floor(of.bw / 5)) then return end
  of.s = 'p'
  redis.call('HSET', key, 's', 'p', 'pw', 'b', 'pn', int(known), 'pf', int(bad), 'pr', int(reason), 'pt', int(now))
end

-- tally counts a row's change for its campaign: by state, by why it failed, and which did.
local FAILED = {f = true, x = true, b = true, n = true}
local function tally(job, of, state, reason)
  local key, was = P .. 'cp:' .. of.id, job.f.s
  if was then
    count(key .. ':n', was, -1)
    if FAILED[was] then count(key .. ':n', was .. int(string.byte(job.f.h, #job.f.h - 4)), -1) end
  end
  count(key .. ':n', state, 1)
  if FAILED[state] then count(key .. ':n', state .. int(reason), 1) end
  if FAILED[state] or was and FAILED[was] then
    redis.call('SETBIT', key .. ':f', row(job), FAILED[state] and 1 or 0)
  end
  if of.bw > 0 and (was == 's' or was == 'u') and (state == 'a' or state == 'f') then brake(of, state == 'f' and 1 or 0, reason) end
end

-- unpark ends a wait for a limit of its own.
local function unpark(job)
  if not job.f.pk then return end
  redis.call('ZREM', P .. 'w:' .. job.f.pk, job.id)
  set(job, 'pk', nil)
end

-- move changes the state, with its line of history, its counters and its event.
local function move(job, state, reason, most, mdr)
  if job.f.s then count(P .. 'n', job.f.t .. job.f.s, -1) end
  count(P .. 'n', job.f.t .. state, 1)
  local of = campaign(job)
  if of then tally(job, of, state, reason) end
  if state == 'r' then
    redis.call('ZADD', P .. 'review', int(now), job.id)
  elseif job.f.s == 'r' then
    redis.call('ZREM', P .. 'review', job.id)
  end
  unpark(job)
  set(job, 's', state)
  note(job, state, reason)
  event(job, state, reason, mdr, most)
end

-- has_mdr and add_mdr keep the list of a job's records.
local function mdrs(job)
  local list, m, at = {}, job.f.m or '', 1
  while at <= #m do
    local size = string.byte(m, at)
    list[#list + 1] = string.sub(m, at + 1, at + size)
    at = at + 1 + size
  end
  return list
end

local function has_mdr(job, mdr)
  for _, known in ipairs(mdrs(job)) do
    if known == mdr then return true end
  end
  return false
end

local function add_mdr(job, mdr)
  local m = job.f.m or ''
  if #m + 1 + #mdr <= 250 then set(job, 'm', m .. string.char(#mdr) .. mdr) end
end

local function drop_mdr(job, mdr)
  local kept = ''
  for _, known in ipairs(mdrs(job)) do
    if known ~= mdr then kept = kept .. string.char(#known) .. known end
  end
  set(job, 'm', kept ~= '' and kept or nil)
end
