-- The packed maps: final jobs ({prefix}d) and claims of MDR ids ({prefix}c).
--
-- A key of its own costs Redis some 150 bytes beside its value, an entry of a
-- small hash about 10. So a map is a row of generations, each a number of small
-- hashes ("buckets", picked by the id's hash) that stay in Redis' packed
-- encoding: at most some 64 entries each, values in pieces of 60 bytes. A full
-- generation, or one of a week, is closed and a larger or smaller one is opened;
-- a look-up asks each live generation. A bucket lapses when nothing was written
-- to it for the map's TTL, so an entry stays for the TTL and up to a week more.
--
-- {prefix}<map> holds: live = "generation:buckets:opened;…", newest first; n =
-- entries in the newest; g = the number of the last generation.
--
-- A final job's value: version 1, type, state, queue (1 byte each), created (6),
-- subject (24), posts (1), length of MDR ids (1), length of history (1), MDR ids,
-- history, and, if any: detail, warning, progress, each headed by its length (2).

local WEEK = 604800000
local FILL, SMALLEST, LARGEST, STEP, PIECE, MOST_TAIL = 64, 64, 16384, 8, 60, 12000

-- What this call has read of the maps: a script asks for the same more than once.
local lists, sizes, found = {}, {}, {}

local function generations(map)
  if lists[map] then return lists[map] end
  local list, of = {}, redis.call('HMGET', P .. map, 'live', 'n')
  for g, buckets, opened in string.gmatch(of[1] or '', '(%d+):(%d+):(%d+)') do
    list[#list + 1] = {g = g, buckets = tonumber(buckets), opened = tonumber(opened)}
  end
  lists[map], sizes[map] = list, tonumber(of[2] or '0')
  return list
end

local function bucket(map, generation, id)
  local n = tonumber(string.sub(redis.sha1hex(id), 1, 8), 16) % generation.buckets
  return P .. map .. ':' .. generation.g .. ':' .. int(n)
end

-- cold_get returns a value and the bucket it is in, or nil.
local function cold_get(map, id)
  local known = found[map .. id]
  if known then return known[1], known[2] end
  found[map .. id] = {}
  for _, generation in ipairs(generations(map)) do
    local key = bucket(map, generation, id)
    local piece = redis.call('HGET', key, id)
    if piece then
      local value, i = piece, 0
      while piece and #piece == PIECE do
        i = i + 1
        piece = redis.call('HGET', key, id .. string.char(i))
        value = value .. (piece or '')
      end
      found[map .. id] = {value, key}
      return value, key
    end
  end
  return nil
end

local function open_generation(map, list, entries, ttl)
  local buckets = SMALLEST
  if list[1] then
    buckets = list[1].buckets
    if entries >= buckets * FILL then
      buckets = math.min(buckets * STEP, LARGEST)
    elseif entries * STEP < buckets * FILL then
      buckets = math.max(buckets / STEP, SMALLEST)
    end
  end
  local fresh = {g = int(redis.call('HINCRBY', P .. map, 'g', 1)), buckets = buckets, opened = now}
  local live = {fresh.g .. ':' .. int(buckets) .. ':' .. int(now)}
  for _, generation in ipairs(list) do
    if generation.opened + 2 * WEEK + ttl > now then
      live[#live + 1] = generation.g .. ':' .. int(generation.buckets) .. ':' .. int(generation.opened)
    end
  end
  redis.call('HSET', P .. map, 'live', table.concat(live, ';'), 'n', 0)
  counts[P .. map] = nil -- they were of the generation before
  table.insert(list, 1, fresh)
  sizes[map] = 0
  return fresh
end

-- cold_put writes a value in place of the one that is there.
local function cold_put(map, id, value, ttl)
  local known, key = cold_get(map, id)
  if not known then
    local list = generations(map)
    local newest = list[1]
    if not newest or sizes[map] >= newest.buckets * FILL or now - newest.opened > WEEK then
      newest = open_generation(map, list, sizes[map], ttl)
    end
    count(P .. map, 'n', 1)
    sizes[map] = sizes[map] + 1
    key = bucket(map, newest, id)
  end
  found[map .. id] = {value, key}
  local pieces, i = {id, string.sub(value, 1, PIECE)}, 0
  while #value > (i + 1) * PIECE do
    i = i + 1
    pieces[#pieces + 1] = id .. string.char(i)
    pieces[#pieces + 1] = string.sub(value, i * PIECE + 1, (i + 1) * PIECE)
  end
  redis.call('HSET', key, unpack(pieces))
  if known and #known > #value then
    for old = i + 1, math.floor(#known / PIECE) do redis.call('HDEL', key, id .. string.char(old)) end
  end
  redis.call('PEXPIRE', key, ttl)
end

local function cold_del(map, id)
  local value, key = cold_get(map, id)
  if not value then return end
  local pieces = {id}
  for i = 1, math.floor(#value / PIECE) do pieces[#pieces + 1] = id .. string.char(i) end
  redis.call('HDEL', key, unpack(pieces))
  found[map .. id] = {}
end

local function headed(text) return bytes(#text, 2) .. text end

local function pack(job)
  local f = job.f
  local m, h, tail = f.m or '', f.h or '', ''
  if f.e or f.wn or f.pg then tail = headed(f.e or '') .. headed(f.wn or '') .. headed(f.pg or '') end
  -- More pieces than this a value cannot have; the texts are for people.
  if #tail > MOST_TAIL then tail = headed(f.e or '') .. headed(f.wn or '') end
  return '\1' .. f.t .. f.s .. f.l .. bytes(tonumber(f.c), 6) .. f.i ..
    string.char(math.min(tonumber(f.n), 255), #m, #h) .. m .. h .. tail
end

local function unpacked(value)
  local f = {v = '1', t = string.sub(value, 2, 2), s = string.sub(value, 3, 3), l = string.sub(value, 4, 4),
    c = int(unbytes(string.sub(value, 5, 10))), i = string.sub(value, 11, 34),
    n = int(string.byte(value, 35)), g = '0', x = '0', d = '0'}
  local m, h, at = string.byte(value, 36), string.byte(value, 37), 38
  if m > 0 then f.m = string.sub(value, at, at + m - 1) end
  f.h = string.sub(value, at + m, at + m + h - 1)
  at = at + m + h
  for _, name in ipairs({'e', 'wn', 'pg'}) do
    if at >= #value then break end
    local size = unbytes(string.sub(value, at, at + 1))
    if size > 0 then f[name] = string.sub(value, at + 2, at + 1 + size) end
    at = at + 2 + size
  end
  return f
end

-- load reads a job, final or not; nil when there is none. job.newer: its record
-- is of a later version and must be left alone.
local function load(id, bin)
  local job = hot(id)
  if job then
    found['d' .. bin] = {} -- a job has one record
    job.bin, job.newer = bin, job.f.v ~= '1'
    return job
  end
  local value = cold_get('d', bin)
  if not value then return nil end
  if string.byte(value) ~= 1 then return {id = id, bin = bin, f = {}, newer = true} end
  return {id = id, bin = bin, f = unpacked(value), cold = true}
end

-- leave_slots ends a job's turn. It returns the jobs whose turn has come.
local function leave_slots(job)
  local next_ids = {}
  for slot in string.gmatch(job.f.o or '', '%S+') do
    redis.call('ZREM', P .. 'o:' .. slot, job.id)
    local head = redis.call('ZRANGE', P .. 'o:' .. slot, 0, 0)[1]
    if head then next_ids[#next_ids + 1] = head end
  end
  return next_ids
end

-- finish stores a job that has become final and frees what it held. A job whose
-- record was only matched to it keeps its payload, since proof may take the
-- record away; one that was posted more than once keeps its fingerprint, since a
-- further record of it may be as good for a twin. It returns the jobs whose turn has
-- come in the slots it held.
local function finish(job, retention)
  local f = job.f
  redis.call('ZREM', P .. 'open', job.id)
  if f.fp then redis.call('SREM', P .. 'g:' .. f.fp, job.id) end
  local next_ids = leave_slots(job)
  local again = f.fp and not job.cold and tonumber(f.n) > 1 and (f.s == 'a' or f.s == 'd' or f.s == 'n')
  if f.inf or again then
    set(job, 'o', nil)
    save(job)
    redis.call('PEXPIRE', P .. 'j:' .. job.id, retention)
    return next_ids
  end
  cold_put('d', job.bin, pack(job), retention)
  redis.call('DEL', P .. 'j:' .. job.id)
  if job.apart then redis.call('DEL', P .. 'p:' .. job.id) end
  return next_ids
end

-- claim gives an MDR to a job: '' done, 'taken' it is another's by proof, else
-- the job that has to give it back.
local function claim(job, mdr, inferred, ttl)
  local held = cold_get('c', mdr)
  local value = job.bin .. bytes(tonumber(job.f.c), 6) .. (inferred and 'i' or 'p') .. string.char(math.min(tonumber(job.f.n), 255))
  local displaced = ''
  if held and string.sub(held, 1, 22) ~= string.sub(value, 1, 22) then
    if inferred or string.sub(held, 23, 23) == 'p' then return 'taken' end
    displaced = string.sub(held, 1, 16)
  end
  if held and string.sub(held, 1, 22) == string.sub(value, 1, 22) and string.sub(held, 23, 23) == 'p' then return '' end
  cold_put('c', mdr, value, ttl)
  return displaced
end
