-- Reads the ModelSpec in a request's message, and gives it a label. `model_spec.lua` follows in the same script and
-- uses this.
--
-- Accepts a strict subset of what protobuf accepts (no groups, no field 0, no varint that overflows),
-- and what it accepts it understands as protobuf does: the last of several names wins, messages merge. Otherwise a
-- forged message could show one name here and another one to the model server.

local VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
local FIXED_SIZE = { [FIXED64] = 8, [FIXED32] = 4 }
local MODEL_SPEC, NAME, VERSION, VERSION_LABEL = 1, 1, 2, 4
-- Stands for every version and label; no label is called so.
local ANY = "*"

-- The varint that starts at `at`, and where it ends; nil if it is cut off or longer than `limit` bytes.
local function varint(bytes, at, limit)
  local first = bytes:byte(at)
  if first and first < 128 then return first, at + 1 end
  local value, scale = 0, 1
  for index = at, at + limit - 1 do
    local byte = bytes:byte(index)
    if not byte then return nil end
    value = value + (byte % 128) * scale
    if byte < 128 then return value, index + 1 end
    scale = scale * 128
  end
  return nil
end

local function encoded_varint(value)
  local out = {}
  while value >= 128 do
    out[#out + 1] = string.char(value % 128 + 128)
    value = math.floor(value / 128)
  end
  out[#out + 1] = string.char(value)
  return table.concat(out)
end

-- Where the value of a field that starts at `at` begins and ends (`last` is inclusive); nil if malformed.
local function value_range(bytes, kind, at)
  if kind == VARINT then
    local _, after = varint(bytes, at, 10)
    return at, after and after - 1
  elseif kind == BYTES then
    local size, start = varint(bytes, at, 5)
    return start, size and start + size - 1
  end
  local size = FIXED_SIZE[kind]
  return at, size and at + size - 1
end

-- The field whose tag begins at `at` in a message that ends at `last`: its number, its kind, and where its value begins
-- and ends; nil if malformed.
local function field_at(bytes, at, last)
  local tag, after = varint(bytes, at, 5)
  if not tag or tag < 8 or tag > 4294967295 then return nil end
  local kind = tag % 8
  local start, stop = value_range(bytes, kind, after)
  if not stop or stop > last then return nil end
  return (tag - kind) / 8, kind, start, stop
end

-- Calls visit(number, kind, start, stop, at) for each field of the message in bytes[first..last]: its value is in
-- bytes[start..stop], its tag begins at `at`. False if the message is malformed, or once a visit says false.
local function each_field(bytes, first, last, visit)
  local at = first
  while at <= last do
    local number, kind, start, stop = field_at(bytes, at, last)
    if not number then return false end
    if visit(number, kind, start, stop, at) == false then return false end
    at = stop + 1
  end
  return true
end

-- The number in the Int64Value in bytes[first..last], or `before` where it holds none; nil if malformed.
local function read_number(bytes, first, last, before)
  local number = before
  local sound = each_field(bytes, first, last, function(field, kind, start)
    if field == 1 and kind == VARINT then number = varint(bytes, start, 10) end
  end)
  return sound and number or nil
end

-- Takes the ModelSpec in bytes[first..last] into `spec`; false if malformed. Of version and label the last one counts,
-- but all that were named are kept in `named`.
local function read_spec(bytes, first, last, spec)
  local at = first
  while at <= last do
    local number, kind, start, stop = field_at(bytes, at, last)
    if not number then return false end
    if kind == BYTES then
      if number == NAME then
        spec.name = bytes:sub(start, stop)
      elseif number == VERSION then
        spec.version, spec.label = read_number(bytes, start, stop, spec.version or 0), nil
        spec.named[#spec.named + 1] = ANY
        if not spec.version then return false end
      elseif number == VERSION_LABEL then
        spec.version, spec.label = nil, bytes:sub(start, stop)
        spec.named[#spec.named + 1] = spec.label
      end
    end
    at = stop + 1
  end
  return true
end

-- The ModelSpec that the message in bytes[first..last] holds in field 1; nil if malformed.
local function spec_of(bytes, first, last)
  local spec, at = { name = "", named = {} }, first
  while at <= last do
    local number, kind, start, stop = field_at(bytes, at, last)
    if not number then return nil end
    if number == MODEL_SPEC and kind == BYTES and not read_spec(bytes, start, stop, spec) then return nil end
    at = stop + 1
  end
  return spec
end

-- A field 1 holding a ModelSpec with the label only: appended to a message, protobuf merges it into what is there.
-- Each label's is made once: there are as many as the routes and the table name.
local LABEL_FIELDS = {}

local function label_field(label)
  local field = LABEL_FIELDS[label]
  if not field then
    local spec = "\34" .. encoded_varint(#label) .. label
    field = "\10" .. encoded_varint(#spec) .. spec
    LABEL_FIELDS[label] = field
  end
  return field
end

-- The specs of a request's message, and the message with the label that `choose` gives where none is chosen; nil if
-- malformed. `handle` is handed to `choose`.
local function labelled_message(bytes, choose, handle)
  local spec = spec_of(bytes, 1, #bytes)
  if not spec then return nil end
  local label = not spec.named[1] and choose(handle, spec.name)
  if label then
    bytes, spec.label = bytes .. label_field(label), label
  end
  return { spec }, bytes
end

-- The same of a MultiInferenceRequest: tasks are a list, so each is written anew in its place.
local function labelled_tasks(bytes, choose, handle)
  local specs, out, copied = {}, {}, 0
  local sound = each_field(bytes, 1, #bytes, function(number, kind, start, stop, at)
    if number ~= MODEL_SPEC or kind ~= BYTES then return true end
    local spec = spec_of(bytes, start, stop)
    if not spec then return false end
    specs[#specs + 1] = spec
    local label = not spec.named[1] and choose(handle, spec.name)
    if label then
      local task = bytes:sub(start, stop) .. label_field(label)
      spec.label = label
      out[#out + 1] = bytes:sub(copied + 1, at - 1) .. "\10" .. encoded_varint(#task) .. task
      copied = stop
    end
    return true
  end)
  if not sound then return nil end
  out[#out + 1] = bytes:sub(copied + 1)
  return specs, table.concat(out)
end

local LABELLED = { message = labelled_message, tasks = labelled_tasks }

-- The one message of a unary call in Envoy's buffer, or nil and whether it is compressed.
local function unframed(buffer)
  local body = buffer:getBytes(0, buffer:length())
  local flag, a, b, c, d = body:byte(1, 5)
  if not d then return nil, false end
  if ((a * 256 + b) * 256 + c) * 256 + d ~= #body - 5 then return nil, false end
  if flag ~= 0 then return nil, flag == 1 end
  return body:sub(6), false
end

local function framed(message)
  local size = #message
  local d, c, b = size % 256, math.floor(size / 256) % 256, math.floor(size / 65536) % 256
  return string.char(0, math.floor(size / 16777216), b, c, d) .. message
end
