-- A process ends: what it declared and whom it had waiting no longer counts.
-- Its permits stay out.
--
-- KEYS[1] state, KEYS[2] caps, KEYS[3] waiters (hash), KEYS[4…] declarations (hash) of
--         each limit of the account
-- returns {'ok', …}

local s = enter()
for _, id in ipairs(redis.call('HKEYS', KEYS[3])) do
  if string.match(id, '^[^|]+') == ME then redis.call('HDEL', KEYS[3], id) end
end
for k = 4, #KEYS do redis.call('HDEL', KEYS[k], ME) end
return reply(s, 'ok')
