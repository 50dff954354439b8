-- Which label answers a request that chooses neither version nor label, and whether a copy of it goes to a candidate.
-- `model_spec.lua` follows in the same script and uses these.
--
-- Where some served names are not as the others, NAMES (`serving/gateway/table.py`) stands before this in the script of
-- the routes that choose, with an entry for each of them; else there is no NAMES:
--   split   list of { label, below }: the label answers where the request's place is below that many percent
--   mirror  { percent, cluster }: of the requests that the default label answers

local KEY_HEADER, MIRROR_HEADER = "x-roost-key", "x-roost-mirror"
local TWO_32 = 4294967296

-- Each worker has a state of its own, and all would draw the same numbers.
math.randomseed(os.time() + (tonumber(tostring({}):match("0x(%x+)"), 16) or 0) % 1000000)

-- a * b modulo 2^32: a double is exact up to 2^53 only, so one factor goes in two halves.
local function product(a, b)
  local low = a % 65536
  return (((a - low) / 65536 * b) % 65536 * 65536 + low * b) % TWO_32
end

-- 32 bits of a text: FNV-1a, finished by the mixing of murmur3, without which similar keys lie close together.
local function hash(text)
  local value = 2166136261
  for index = 1, #text do
    value = product(bit.bxor(value, text:byte(index)) % TWO_32, 16777619)
  end
  value = product(bit.bxor(value, bit.rshift(value, 16)) % TWO_32, 2246822507)
  value = product(bit.bxor(value, bit.rshift(value, 13)) % TWO_32, 3266489909)
  return bit.bxor(value, bit.rshift(value, 16)) % TWO_32
end

-- A request's place from 0 up to 100: the same for the same key and served name on every gateway; else by chance.
local function place(handle, name)
  local key = handle:headers():get(KEY_HEADER)
  if not key or key == "" then return math.random() * 100 end
  return hash(name .. "\0" .. key) / TWO_32 * 100
end

local function split_label(handle, name, entry, default)
  if not entry.split then return default end
  local at = place(handle, name)
  for _, bound in ipairs(entry.split) do
    if at < bound.below then return bound.label end
  end
  return default
end

-- The label that answers; `default` is the route's. Marks the request where a copy of it goes to a candidate.
local function label_of(handle, name, default)
  local entry = NAMES[name]
  if not entry then return default end
  local label = split_label(handle, name, entry, default)
  local mirror = entry.mirror
  if mirror and label == default and math.random() * 100 < mirror.percent then
    handle:headers():replace(MIRROR_HEADER, mirror.cluster)
    -- The route takes the token away before the copy is made, and puts it back into the copy.
    local token = handle:headers():get("authorization")
    if token then handle:streamInfo():dynamicMetadata():set("roost.copy", "authorization", token) end
  end
  return label
end

-- Only the gateway says what is mirrored, and where to.
local function forget_mirror(handle)
  if handle:headers():get(MIRROR_HEADER) then handle:headers():remove(MIRROR_HEADER) end
end
