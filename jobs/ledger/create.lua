-- Writes new jobs down, each once. What they have in common is done once for all of them.
-- ARGV  1 number of arguments of each job (4), then those of one after the other: 1 id, 2 id
--       (16 bytes), 3 rule, 4 the fields of its record that its producer knows, packed
-- A rule is a record of what does not differ from job to job: t type, n number of the fields,
-- d due, x expires, g what is added to the due time when no expires is given (none: no
-- bound), o slots, f why it is refused, b why it is blocked, c it is a row of a campaign,
-- m length of the event stream, r retention.
-- returns for each job {new}: it is queued, with generation 1 | {new | known | conflict | newer,
-- state, generation} | {held} its campaign does not run | an error, which is its own alone
local answers, made, rules = {}, {}, {}

local keys = {}
for at = 2, #ARGV, 4 do keys[#keys + 1] = P .. 'j:' .. ARGV[at] end
local exists = redis.call('EXISTS', unpack(keys)) > 0 -- one of them at least

local function packed(name, value) return '\161' .. name .. string.char(160 + #value) .. value end
local function headed_map(n) return string.char(222, math.floor(n / 256), n % 256) end

local function rule_of(text)
  local rule = decode(text)
  rules[text] = rule
  local due, expires = tonumber(rule.d or '0'), tonumber(rule.x or '0')
  if due <= now then due = 0 end
  if expires == 0 and rule.g then expires = math.max(due, now) + tonumber(rule.g) end
  -- The fields that depend on Redis' clock and on what is known here come before the others.
  rule.head = headed_map(tonumber(rule.n) + 4) .. packed('c', int(now)) .. packed('d', int(due)) ..
    packed('x', int(expires)) .. packed('s', 'q')
  rule.count, rule.event = rule.t .. 'q', rule.t .. 'q\0'
  return rule
end

-- New jobs that are queued are written together. Their ids are in made.
local fresh = {} -- their places
local rule_at, record_at, event_at, rows = {}, {}, {}, {}
local function write()
  local records, written, cut = {}, {}, false
  for _, place in ipairs(fresh) do
    local rule, answer = rule_at[place]
    if cut then
      answer = redis.pcall('XADD', P .. 'events', '*', 'e', event_at[place])
    else -- once for all
      answer = redis.pcall('XADD', P .. 'events', 'MAXLEN', '~', rule.m, '*', 'e', event_at[place])
      cut = true
    end
    if type(answer) == 'table' and answer.err then
      answers[place] = answer
    else
      written[#written + 1] = place
      records[#records + 1], records[#records + 2] = keys[place], record_at[place]
      count(P .. 'n', rule.count, 1)
      if rows[place] then tally(rows[place], rows[place].of, 'q', 0) end
    end
  end
  fresh = {}
  if #written == 0 then return end
  local done = redis.pcall('MSET', unpack(records))
  for _, place in ipairs(done.err and written or {}) do answers[place] = done end
end

local function ended(id, bin, rule, fields, state, why, reason)
  local job = {id = id, bin = bin, f = decode(rule.head .. fields)}
  job.f.s, job.f.p = nil, nil
  set(job, 'e', why)
  move(job, state, reason, rule.m)
  finish(job, rule.r)
  return {'new', state, 1}
end

-- The history of a job starts at c, with this state: it needs no line.
local NEW = {'new'}

local function one(place, id, bin, rule, fields)
  if made[id] then write() end
  if exists or made[id] or generations('d')[1] and cold_get('d', bin) then
    local known = load(id, bin)
    if known then
      if known.newer then return {'newer'} end
      local asked = decode(headed_map(tonumber(rule.n)) .. fields)
      local same = known.f.t == rule.t and string.sub(known.f.i, 17) == string.sub(asked.i, 17)
      local verdict = same and (known.f.cn == asked.cn and 'new' or 'known') or 'conflict'
      return {verdict, known.f.s, tonumber(known.f.g)}
    end
  end
  if rule.c then
    local job = {id = id, bin = bin, f = {t = rule.t}}
    local of = campaign(job)
    if of and of.s ~= 'r' then return {'held'} end
    rows[place] = of and job
  end
  made[id] = true
  if rule.f then return ended(id, bin, rule, fields, 'f', rule.f, REASON.invalid) end
  if rule.b then return ended(id, bin, rule, fields, 'b', rule.b, REASON.opted_out) end
  if rule.o then
    local turn = redis.call('INCR', P .. 'turn')
    for slot in string.gmatch(rule.o, '%S+') do redis.call('ZADD', P .. 'o:' .. slot, turn, id) end
  end
  fresh[#fresh + 1] = place
  rule_at[place], record_at[place], event_at[place] = rule, rule.head .. fields, '\1' .. bin .. rule.event
  return NEW
end

for place = 1, #keys do
  local at = 4 * place - 2
  local ok, answer = pcall(one, place, ARGV[at], ARGV[at + 1], rules[ARGV[at + 2]] or rule_of(ARGV[at + 2]), ARGV[at + 3])
  if not ok and type(answer) ~= 'table' then answer = redis.error_reply(tostring(answer)) end
  answers[place] = answer
end
write()
for key, fields in pairs(counts) do
  for field, by in pairs(fields) do
    if by ~= 0 then redis.call('HINCRBY', key, field, by) end
  end
end
return answers
