-- Makes a gRPC request that names neither version nor label ask for the stable one, keeps a token that is bound to
-- customers to their models, and a caller who is held to labels to these. Leaves what it read for the filters behind it
-- (a customer's rate) and the access log. Runs once per request, after the token was verified, and for gRPC after the
-- body was buffered.
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
-- Two ids of 63 characters and a dot; and the largest whole number that Lua keeps exactly.
local LONGEST_NAME, LARGEST_EXACT = 127, 2 ^ 53
local MODEL_SPEC, NAME, VERSION, VERSION_LABEL = 1, 1, 2, 4
local GRPC_INVALID_ARGUMENT, GRPC_UNIMPLEMENTED = "3", "12"
-- Stands for every version and label; no label is called so.
local ANY = "*"
local STABLE = "stable"
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
  return each_field(bytes, first, last, function(number, kind, start, stop)
    if kind ~= BYTES then return true end
    if number == NAME then
      spec.name = bytes:sub(start, stop)
    elseif number == VERSION then
      spec.version, spec.label = read_number(bytes, start, stop, spec.version or 0), nil
      spec.named[#spec.named + 1] = ANY
      return spec.version ~= nil
    elseif number == VERSION_LABEL then
      spec.version, spec.label = nil, bytes:sub(start, stop)
      spec.named[#spec.named + 1] = spec.label
    end
    return true
  end)
end

-- The ModelSpec that the message in bytes[first..last] holds in field 1; nil if malformed.
local function spec_of(bytes, first, last)
  local spec = { name = "", named = {} }
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

-- The specs of a request's message, and the message with the label that `choose` gives where none is chosen; nil if
-- malformed.
local function labelled_message(bytes, choose)
  local spec = spec_of(bytes, 1, #bytes)
  if not spec then return nil end
  local label = not spec.named[1] and choose(spec.name)
  if label then
    bytes, spec.label = bytes .. label_field(label), label
  end
  return { spec }, bytes
end

-- The same of a MultiInferenceRequest: tasks are a list, so each is written anew in its place.
local function labelled_tasks(bytes, choose)
  local specs, out, copied = {}, {}, 0
  local sound = each_field(bytes, 1, #bytes, function(number, kind, start, stop, at)
    if number ~= MODEL_SPEC or kind ~= BYTES then return true end
    local spec = spec_of(bytes, start, stop)
    if not spec then return false end
    specs[#specs + 1] = spec
    local label = not spec.named[1] and choose(spec.name)
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

-- The list as a set; what is no list holds nothing.
local function set_of(listed)
  local set = {}
  if type(listed) == "table" then
    for _, each in ipairs(listed) do set[each] = true end
  end
  return set
end

-- What the caller is limited to: `customers`, whose models it may ask for, and `choices`, the labels that it may name
-- (or ANY); nil where it is not.
local function limits_of(handle, tokens)
  local metadata = handle:streamInfo():dynamicMetadata()
  local policy = metadata:get("roost.policy")
  local limits = { choices = policy and set_of(policy["choices"]) }
  if not tokens then return limits end
  local verified = metadata:get("envoy.filters.http.jwt_authn")
  local claims = verified and verified["claims"]
  if type(claims) ~= "table" then return { customers = {}, choices = {} } end
  if claims["customers"] ~= nil then limits.customers = set_of(claims["customers"]) end
  if claims["labels"] ~= nil then limits.choices = set_of(claims["labels"]) end
  return limits
end

-- The customer of a served name <customer>.<model>, by the form of both ids; nil of any other name.
local function customer_of(name)
  return #name <= LONGEST_NAME and name:match("^(%w[%w-]*)%.%w[%w-]*$") or nil
end

-- Whether the caller may ask for this name.
local function opens(limits, name)
  if not limits.customers then return true end
  local customer = customer_of(name)
  return customer ~= nil and limits.customers[customer] == true
end

-- Whether the caller may name these: labels, or ANY for a version.
local function permits(limits, named)
  if not limits.choices or limits.choices[ANY] then return true end
  for _, each in ipairs(named) do
    if each ~= STABLE and (each == ANY or not limits.choices[each]) then return false end
  end
  return true
end

-- Leaves what a request asks for where rates and the access log find it; nothing that is not of the usual form.
local function note(handle, spec)
  local metadata = handle:streamInfo():dynamicMetadata()
  local customer = customer_of(spec.name)
  if customer then
    metadata:set("roost", "customer", customer)
    metadata:set("roost", "model", spec.name)
  end
  if spec.version and spec.version <= LARGEST_EXACT then
    metadata:set("roost", "version", string.format("%.0f", spec.version))
  elseif spec.label and #spec.label <= LONGEST_NAME and spec.label:match("^[%w._-]+$") then
    metadata:set("roost", "label", spec.label)
  end
end

local function refuse(handle, status, grpc_status, message)
  handle:respond({ [":status"] = status, ["grpc-status"] = grpc_status, ["grpc-message"] = message }, message)
end

-- Refuses what the caller may not ask for. Whether it did.
local function forbidden(handle, limits, spec)
  if not opens(limits, spec.name) then
    handle:respond({ [":status"] = "403" }, "the token does not open this model")
  elseif not permits(limits, spec.named) then
    handle:respond({ [":status"] = "403" }, "this version or label is not for the caller to choose: name none")
  else
    return false
  end
  return true
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
    table = context:get("table"),
  }
end

-- What chooses the label of a served name for this request.
local function chooser(handle, route)
  if not route.label then return function() return nil end end
  return function(name)
    return route.table and label_of(handle, name, route.label) or route.label
  end
end

-- What a REST path asks for.
local function spec_of_path(path)
  local name, rest = path:match("^/v1/models/([%w._-]+)(.*)")
  if not name then
    local customer, model, after = path:match("^/v1/customers/([%w-]+)/models/([%w-]+)(.*)")
    name, rest = customer and customer .. "." .. model or "", after or ""
  end
  local version, label = rest:match("^/versions/(%d+)"), rest:match("^/labels/([%w._-]+)")
  return { name = name, version = tonumber(version), label = label, named = { version and ANY or label } }
end

local function on_rest(handle, route, limits)
  local path = handle:headers():get(":path")
  local spec = spec_of_path(path)
  if forbidden(handle, limits, spec) then return end
  if route.label then
    spec.label = chooser(handle, route)(spec.name)
    -- The route itself rewrites to its own label.
    if spec.label ~= route.label then
      local chosen = path:gsub("^(/v1/models/[^/:]+):", "%1/labels/" .. spec.label .. ":")
      handle:headers():replace(":path", chosen)
    end
  end
  note(handle, spec)
end

local function on_grpc(handle, route, limits)
  local buffer = handle:body(true)
  local message, compressed = unframed(buffer:getBytes(0, buffer:length()))
  if compressed then
    return refuse(handle, "501", GRPC_UNIMPLEMENTED, "compressed messages are not taken: send them uncompressed")
  end
  if not message then return refuse(handle, "400", GRPC_INVALID_ARGUMENT, MALFORMED) end
  local specs, labelled = LABELLED[route.spec](message, chooser(handle, route))
  if not specs then return refuse(handle, "400", GRPC_INVALID_ARGUMENT, MALFORMED) end
  for _, spec in ipairs(specs) do
    if forbidden(handle, limits, spec) then return end
  end
  if specs[1] then note(handle, specs[1]) end
  if #labelled ~= #message then
    handle:headers():remove("content-length")
    buffer:setBytes(framed(labelled))
  end
end

local function on_request(handle)
  local route = route_of(handle)
  if route.table then forget_mirror(handle) end
  if route.api == "grpc" then on_grpc(handle, route, limits_of(handle, route.tokens)) end
  if route.api == "rest" then on_rest(handle, route, limits_of(handle, route.tokens)) end
end

function envoy_on_request(handle)
  -- Envoy lets a request pass when a script fails, unlabelled and unchecked. This one refuses it.
  local sound, trouble = pcall(on_request, handle)
  if not sound then
    handle:logErr(tostring(trouble))
    handle:respond({ [":status"] = "500" }, "the gateway could not read the request")
  end
end
