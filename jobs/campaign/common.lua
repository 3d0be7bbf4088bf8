-- Common to the scripts of campaigns.
-- KEYS  1: the prefix of every key of the product, with its hash tag.
-- ARGV  1: the campaign's id.
local P, id = KEYS[1], ARGV[1]
local key = P .. 'cp:' .. id
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function int(n) return string.format('%.0f', n) end

-- over ends the campaign: from now on its keys lapse.
local function over(state, retention)
  redis.call('HSET', key, 's', state, 'en', int(now))
  redis.call('SREM', P .. 'cpa', id)
  -- What is counted later must lapse as well.
  redis.call('HINCRBY', key .. ':n', 'bn', 0)
  redis.call('SETBIT', key .. ':f', 0, 0)
  redis.call('SETBIT', key .. ':b', 0, 0)
  redis.call('SETBIT', key .. ':m', 0, 0)
  for _, part in ipairs({'', ':r', ':n', ':f', ':b', ':l', ':m'}) do redis.call('PEXPIRE', key .. part, retention) end
end
