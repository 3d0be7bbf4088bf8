-- A job's record is one string, a MessagePack map of texts: one key of Redis is cheaper
-- than two, and than a hash. Where Redis' own cmsgpack is not to be had it is read and
-- written here.
local encode, decode
if rawget(_G, 'cmsgpack') then
  encode, decode = cmsgpack.pack, cmsgpack.unpack
else
  local function text(s)
    local n = #s
    if n < 32 then return string.char(160 + n) .. s end
    if n < 256 then return string.char(217, n) .. s end
    if n < 65536 then return string.char(218, math.floor(n / 256), n % 256) .. s end
    return string.char(219, math.floor(n / 16777216), math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256) .. s
  end
  encode = function(fields)
    local out, n = {}, 0
    for name, value in pairs(fields) do
      n = n + 1
      out[n] = text(name) .. text(value)
    end
    return string.char(222, math.floor(n / 256), n % 256) .. table.concat(out)
  end
  decode = function(raw)
    local at, fields = 2, {}
    local function read()
      local b, n, head = string.byte(raw, at), 0, 0
      if b < 192 then n = b - 160 else head = b == 217 and 1 or b == 218 and 2 or 4 end
      for i = 1, head do n = n * 256 + string.byte(raw, at + i) end
      at = at + head + n + 1
      return string.sub(raw, at - n, at - 1)
    end
    local n = string.byte(raw) - 128
    if n > 15 then
      n = string.byte(raw, 2) * 256 + string.byte(raw, 3)
      at = 4
    end
    for _ = 1, n do
      local name = read()
      fields[name] = read()
    end
    return fields
  end
end
