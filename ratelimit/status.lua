-- What can be seen of the limits. Changes nothing.
--
-- KEYS[1]  state, KEYS[2] waiters (hash)
-- KEYS[3…] permits (zset), declarations (hash) of each limit
-- ARGV[1…] name of each limit
-- returns  per limit {n, period (0, 0 = nobody declares it), permits out, of
--          these phantoms, penalty left, processes}, then {lane, waiting, …} of
--          all processes

local function int(s) return tonumber(s or 0) or 0 end

local f = redis.call('HMGET', KEYS[1], 'last', 'clock', 'lost', 'reach', 'epoch')
local t = redis.call('TIME')
local clock = int(f[2]) + math.max(0, int(t[1]) * 1000000 + int(t[2]) - int(f[1]))
local answer = {}
for i, name in ipairs(ARGV) do
  local n, per, processes = 0, 0, 0
  local all = redis.call('HGETALL', KEYS[2 + 2 * i])
  for k = 2, #all, 2 do
    local vn, vper, seen = string.match(all[k], '^(%d+) (%d+) (%d+)')
    if clock - int(seen) <= 10000000 then
      n = n == 0 and int(vn) or math.min(n, int(vn))
      per, processes = math.max(per, int(vper)), processes + 1
    end
  end
  local l = redis.call('HMGET', KEYS[1], name .. ':born', name .. ':until', name .. ':phantoms')
  local out, phantoms = 0, 0
  if l[1] and l[1] == f[5] then
    out = redis.call('ZCOUNT', KEYS[1 + 2 * i], '(' .. string.format('%.0f', clock), '(inf')
    if clock < int(f[3]) + int(f[4]) + per and int(f[4]) >= 0 then phantoms = int(l[3]) end
  end
  answer[i] = {n, per, out, phantoms, math.max(0, int(l[2]) - clock), processes}
end
local waiting = {}
local all = redis.call('HGETALL', KEYS[2])
for k = 1, #all, 2 do
  local seen, count = string.match(all[k + 1], '^%d+ %d+ (%d+) (%d+) ')
  if clock - int(seen) <= 2000000 then
    waiting[#waiting + 1] = string.match(all[k], '[^|]+$')
    waiting[#waiting + 1] = int(count)
  end
end
answer[#answer + 1] = waiting
return answer
