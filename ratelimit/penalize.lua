-- Nobody gets a permit of a limit for a while.
--
-- KEYS[1] state, KEYS[2] caps
-- ARGV[8] limit, ARGV[9] how long
-- returns {'ok', …}

local s = enter()
local field = ARGV[8] .. ':until'
local till = math.max(int(redis.call('HGET', STATE, field)), s.clock + int(ARGV[9]))
redis.call('HSET', STATE, field, str(till))
return reply(s, 'ok')
