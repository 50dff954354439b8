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

-- Two ids of 63 characters and a dot; and the largest whole number that Lua keeps exactly.
local LONGEST_NAME, LARGEST_EXACT = 127, 2 ^ 53
local GRPC_INVALID_ARGUMENT, GRPC_UNIMPLEMENTED = "3", "12"
local STABLE = "stable"
local MALFORMED = "malformed request: the body is not one gRPC message of the method's type"

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
