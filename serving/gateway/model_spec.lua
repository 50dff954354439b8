-- Makes a gRPC request that names neither version nor label ask for the stable one, and keeps a token that is bound to
-- customers to their models. Runs once per request, after the token was verified and the body was buffered.
--
-- Each route gives its context (`serving/gateway/routes.py`); a path that has none is answered by its route:
--   api     "rest" or "grpc"
--   tokens  whether a token was asked for
--   spec    grpc only: "message" where field 1 is the ModelSpec (Predict, Classify, Regress, GetModelMetadata,
--           GetModelStatus), "tasks" where field 1 is a repeated InferenceTask whose field 1 is it (MultiInference)
--   label   grpc only: the version label to give; absent where a request without one has a meaning of its own
--
-- The reader below accepts a strict subset of what protobuf accepts (no groups, no field 0, no varint that overflows),
-- and what it accepts it understands as protobuf does: the last of several names wins, messages merge. Otherwise a
-- forged message could show one name here and another one to the model server.

local VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
local FIXED_SIZE = { [FIXED64] = 8, [FIXED32] = 4 }
local MODEL_SPEC, NAME, VERSION, VERSION_LABEL = 1, 1, 2, 4
local GRPC_INVALID_ARGUMENT, GRPC_UNIMPLEMENTED = "3", "12"
local MALFORMED = "malformed request: the body is not one gRPC message of the method's type"

-- The varint that starts at `at`, and where it ends; nil if it is cut off or longer than `limit` bytes.
local function varint(bytes, at, limit)
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

-- Calls visit(number, kind, start, stop, at) for each field of the message in bytes[first..last]: its value is in
-- bytes[start..stop], its tag begins at `at`. False if the message is malformed, or once a visit says false.
local function each_field(bytes, first, last, visit)
  local at = first
  while at <= last do
    local tag, after = varint(bytes, at, 5)
    if not tag or tag < 8 or tag > 4294967295 then return false end
    local kind = tag % 8
    local start, stop = value_range(bytes, kind, after)
    if not stop or stop > last then return false end
    if visit((tag - kind) / 8, kind, start, stop, at) == false then return false end
    at = stop + 1
  end
  return true
end

-- Takes the ModelSpec in bytes[first..last] into `spec` (name, chosen); false if malformed.
local function read_spec(bytes, first, last, spec)
  return each_field(bytes, first, last, function(number, kind, start, stop)
    if kind == BYTES and number == NAME then
      spec.name = bytes:sub(start, stop)
    elseif kind == BYTES and (number == VERSION or number == VERSION_LABEL) then
      spec.chosen = true
    end
  end)
end

-- The ModelSpec that the message in bytes[first..last] holds in field 1; nil if malformed.
local function spec_of(bytes, first, last)
  local spec = { name = "", chosen = false }
  local sound = each_field(bytes, first, last, function(number, kind, start, stop)
    if number == MODEL_SPEC and kind == BYTES then return read_spec(bytes, start, stop, spec) end
  end)
  return sound and spec or nil
end

-- A field 1 holding a ModelSpec with the label only: appended to a message, protobuf merges it into what is there.
local function label_field(label)
  local spec = "\34" .. encoded_varint(#label) .. label
  return "\10" .. encoded_varint(#spec) .. spec
end

-- The specs of a request's message, and the message with the label where none is chosen; nil if malformed.
local function labelled_message(bytes, label)
  local spec = spec_of(bytes, 1, #bytes)
  if not spec then return nil end
  if label and not spec.chosen then bytes = bytes .. label_field(label) end
  return { spec }, bytes
end

-- The same of a MultiInferenceRequest: tasks are a list, so each is written anew in its place.
local function labelled_tasks(bytes, label)
  local specs, out, copied = {}, {}, 0
  local sound = each_field(bytes, 1, #bytes, function(number, kind, start, stop, at)
    if number ~= MODEL_SPEC or kind ~= BYTES then return true end
    local spec = spec_of(bytes, start, stop)
    if not spec then return false end
    specs[#specs + 1] = spec
    if label and not spec.chosen then
      local task = bytes:sub(start, stop) .. label_field(label)
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

-- The one message of a unary call's body, or nil and whether it is compressed.
local function unframed(body)
  local flag, a, b, c, d = body:byte(1, 5)
  if not d then return nil, false end
  if ((a * 256 + b) * 256 + c) * 256 + d ~= #body - 5 then return nil, false end
  if flag ~= 0 then return nil, flag == 1 end
  return body:sub(6), false
end

local function framed(message)
  local size = #message
  local digits = {}
  for place = 4, 1, -1 do
    digits[place] = string.char(size % 256)
    size = math.floor(size / 256)
  end
  return "\0" .. table.concat(digits) .. message
end

-- The customers that the request's token is bound to, as a set; nil if it opens every model.
local function bound_customers(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local claims = metadata and metadata["claims"]
  if type(claims) ~= "table" then return {} end
  local listed = claims["customers"]
  if listed == nil then return nil end
  local bound = {}
  if type(listed) == "table" then
    for _, customer in ipairs(listed) do bound[customer] = true end
  end
  return bound
end

-- Whether the bound token opens the served name <customer>.<model>.
local function opens(bound, name)
  return bound == nil or bound[name:match("^([^.]*)%.")] == true
end

local function refuse(handle, status, grpc_status, message)
  handle:respond({ [":status"] = status, ["grpc-status"] = grpc_status, ["grpc-message"] = message }, message)
end

local function forbid(handle)
  handle:respond({ [":status"] = "403" }, "the token does not open this model")
end

-- What the route says. Taken out at once: Envoy's object is gone when a script resumes after waiting for the body.
local function route_of(handle)
  local context = handle:filterContext()
  if not context then return {} end
  return {
    api = context:get("api"),
    tokens = context:get("tokens"),
    spec = context:get("spec"),
    label = context:get("label"),
  }
end

local function on_rest(handle, bound)
  local name = handle:headers():get(":path"):match("^/v1/models/([%w._-]+)")
  if not opens(bound, name or "") then forbid(handle) end
end

local function on_grpc(handle, route, bound)
  if not route.label and not bound then return end
  local buffer = handle:body(true)
  local message, compressed = unframed(buffer:getBytes(0, buffer:length()))
  if compressed then
    return refuse(handle, "501", GRPC_UNIMPLEMENTED, "compressed messages are not taken: send them uncompressed")
  end
  if not message then return refuse(handle, "400", GRPC_INVALID_ARGUMENT, MALFORMED) end
  local specs, labelled = LABELLED[route.spec](message, route.label)
  if not specs then return refuse(handle, "400", GRPC_INVALID_ARGUMENT, MALFORMED) end
  for _, spec in ipairs(specs) do
    if not opens(bound, spec.name) then return forbid(handle) end
  end
  if specs[1] then handle:streamInfo():dynamicMetadata():set("roost", "model", specs[1].name) end
  if #labelled ~= #message then
    handle:headers():remove("content-length")
    buffer:setBytes(framed(labelled))
  end
end

local function on_request(handle)
  local route = route_of(handle)
  local bound = nil
  if route.tokens then bound = bound_customers(handle) end
  if route.api == "grpc" then on_grpc(handle, route, bound) end
  if route.api == "rest" then on_rest(handle, bound) end
end

function envoy_on_request(handle)
  -- Envoy lets a request pass when a script fails, unlabelled and unchecked. This one refuses it.
  local sound, trouble = pcall(on_request, handle)
  if not sound then
    handle:logErr(tostring(trouble))
    handle:respond({ [":status"] = "500" }, "the gateway could not read the request")
  end
end
