-- Nobody gets a permit of a limit for a while, and the limit shrinks. What was
-- granted before it shrank last shrinks it no further: the 429s of one burst are
-- one.
--
-- KEYS[1] state, KEYS[2] caps
-- ARGV[8] limit, ARGV[9] how long
-- ARGV[10] the limiter's time at which the refused attempt was granted (0 = the limit
--         stays as it is), ARGV[11] how long it takes to grow from nothing to all of it
-- returns {'ok', …, what is left of the limit in parts of a million, 1 if it has shrunk}

local SHRINK, LEAST = 0.75, 50000

local s = enter()
local field, learned = ARGV[8] .. ':until', ARGV[8] .. ':learned'
local f = redis.call('HMGET', STATE, field, learned)
local till = math.max(int(f[1]), s.clock + int(ARGV[9]))
redis.call('HSET', STATE, field, str(till))
local share, since = share_of(s, f[2])
local granted = int(ARGV[10])
local shrinks = granted > since
if granted == 0 then shrinks = false end
if shrinks then
  share = math.max(LEAST, math.floor(share * SHRINK))
  redis.call('HSET', STATE, learned, str(share) .. ' ' .. str(s.clock) .. ' ' .. ARGV[11])
end
return reply(s, 'ok', share, shrinks and 1 or 0)
