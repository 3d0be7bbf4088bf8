-- A process ends: what it declared and whom it had waiting no longer counts.
-- Its permits stay out.
--
-- KEYS[1] state, KEYS[2] waiters (hash), KEYS[3…] declarations (hash) of each limit
-- returns {'ok', …}

local s = enter()
for _, id in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.match(id, '^[^|]+') == ME then redis.call('HDEL', KEYS[2], id) end
end
for k = 3, #KEYS do redis.call('HDEL', KEYS[k], ME) end
return reply(s, 'ok')
