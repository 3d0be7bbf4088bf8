-- What can be seen of the limits. Changes nothing.
--
-- KEYS[1]  state, KEYS[2] waiters (hash)
-- KEYS[3…] permits (zset), declarations (hash) of each limit
-- ARGV[1]  lanes, 'otp bulk …'
-- ARGV[2…] name of each limit
-- returns  per limit {permits out, of these phantoms, penalty left, what 429s left of it
--          in parts of a million, {process, n, period, …} that declare it, {grants by
--          lane}}, then {kind, lane, waiting, …} of all processes

local STATE = KEYS[1]
local f = redis.call('HMGET', STATE, 'last', 'clock', 'lost', 'reach', 'epoch')
local t = redis.call('TIME')
local clock = int(f[2]) + math.max(0, int(t[1]) * 1000000 + int(t[2]) - int(f[1]))
local answer = {}
for i = 2, #ARGV do
  local name, per, declared = ARGV[i], 0, {}
  local all = redis.call('HGETALL', KEYS[2 * i])
  for k = 1, #all, 2 do
    local vn, vper, seen = string.match(all[k + 1], '^(%d+) (%d+) (%d+)')
    if clock - int(seen) <= DECLARED then
      for _, v in ipairs({all[k], int(vn), int(vper)}) do declared[#declared + 1] = v end
      per = math.max(per, int(vper))
    end
  end
  local l = redis.call('HMGET', STATE, name .. ':born', name .. ':until', name .. ':phantoms', name .. ':learned')
  local out, phantoms = 0, 0
  if l[1] and l[1] == f[5] then
    out = redis.call('ZCOUNT', KEYS[2 * i - 1], '(' .. str(clock), '(inf')
    if clock < int(f[3]) + int(f[4]) + per and int(f[4]) >= 0 then phantoms = int(l[3]) end
  end
  local granted = {}
  for lane in string.gmatch(ARGV[1], '%l+') do
    granted[#granted + 1] = int(redis.call('HGET', STATE, name .. ':granted:' .. lane))
  end
  local share = share_of({clock = clock}, l[4])
  answer[#answer + 1] = {out, phantoms, math.max(0, int(l[2]) - clock), share, declared, granted}
end
local waiting = {}
local all = redis.call('HGETALL', KEYS[2])
for k = 1, #all, 2 do
  local seen, count = string.match(all[k + 1], '^%d+ %d+ (%d+) (%d+) ')
  if clock - int(seen) <= 2000000 then
    local kind, lane = string.match(all[k], '([^|]+)|([^|]+)$')
    for _, v in ipairs({kind, lane, int(count)}) do waiting[#waiting + 1] = v end
  end
end
answer[#answer + 1] = waiting
return answer
