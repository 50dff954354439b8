-- Makes a gRPC request that names neither version nor label ask for the stable one, keeps a token that is bound to
-- customers to their models, and a caller who is held to labels to these. Leaves what it read for the filters behind it
-- (a customer's rate) and the access log. Runs once per request, after the token was verified, and for gRPC after the
-- body was buffered.
--
-- What a route says stands before this in its script as ROUTE (`serving/gateway/routes.py`), not in Envoy's context or
-- metadata, which would be turned into tables anew for each request. A route without a script is passed by:
--   api      "rest" or "grpc"
--   tokens   whether a token was asked for
--   choices  which labels callers may name whose token does not say it; absent where all may
--   spec     grpc only: "message" where field 1 is the ModelSpec (Predict, Classify, Regress, GetModelMetadata,
--            GetModelStatus), "tasks" where field 1 is a repeated InferenceTask whose field 1 is it (MultiInference)
--   label    the version label to give; absent where a request without one has a meaning of its own

-- Two ids of 63 characters and a dot; and the largest whole number that Lua keeps exactly.
local LONGEST_NAME, LARGEST_EXACT = 127, 2 ^ 53
local GRPC_INVALID_ARGUMENT, GRPC_UNIMPLEMENTED = "3", "12"
local STABLE = "stable"
local MALFORMED = "malformed request: the body is not one gRPC message of the method's type"
-- How many tokens are remembered with their limits, and how long one of them may be.
local MOST_TOKENS, LONGEST_TOKEN = 1000, 4096

-- The list as a set; what is no list holds nothing.
local function set_of(listed)
  local set = {}
  if type(listed) == "table" then
    for _, each in ipairs(listed) do set[each] = true end
  end
  return set
end

local CHOICES = ROUTE.choices and set_of(ROUTE.choices)
local UNBOUND = { choices = CHOICES }

-- What the content of the verified token limits its holder to.
local function limits_of_token(handle)
  local verified = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local claims = verified and verified["claims"]
  if type(claims) ~= "table" then return { customers = {}, choices = {} } end
  local limits = { choices = CHOICES }
  if claims["customers"] ~= nil then limits.customers = set_of(claims["customers"]) end
  if claims["labels"] ~= nil then limits.choices = set_of(claims["labels"]) end
  return limits
end

-- Limits by the header in which the token came: the same token says the same. Whether it counts still, the filter
-- before this has found out for this very request.
local REMEMBERED, remembered = {}, 0

-- What the caller is limited to: `customers`, whose models it may ask for, and `choices`, the labels that it may name
-- (or ANY); nil where it is not.
local function limits_of(handle)
  if not ROUTE.tokens then return UNBOUND end
  local token = handle:headers():get("authorization") or ""
  local limits = REMEMBERED[token]
  if limits then return limits end
  limits = limits_of_token(handle)
  if token ~= "" and #token <= LONGEST_TOKEN then
    if remembered >= MOST_TOKENS then REMEMBERED, remembered = {}, 0 end
    REMEMBERED[token], remembered = limits, remembered + 1
  end
  return limits
end

-- The customer of a served name <customer>.<model>, by the form of both ids; nil of any other name.
local function customer_of(name)
  return #name <= LONGEST_NAME and name:match("^(%w[%w-]*)%.%w[%w-]*$") or nil
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
  if spec.customer then
    metadata:set("roost", "customer", spec.customer)
    metadata:set("roost", "model", spec.name)
  end
  if spec.version and spec.version <= LARGEST_EXACT then
    metadata:set("roost", "version", string.format("%.0f", spec.version))
  elseif spec.label == STABLE or spec.label and #spec.label <= LONGEST_NAME and spec.label:match("^[%w._-]+$") then
    metadata:set("roost", "label", spec.label)
  end
end

local function refuse(handle, status, grpc_status, message)
  handle:respond({ [":status"] = status, ["grpc-status"] = grpc_status, ["grpc-message"] = message }, message)
end

-- Refuses what the caller may not ask for. Whether it did. Finds the customer on the way.
local function forbidden(handle, limits, spec)
  spec.customer = customer_of(spec.name)
  if limits.customers and not (spec.customer and limits.customers[spec.customer]) then
    handle:respond({ [":status"] = "403" }, "the token does not open this model")
  elseif not permits(limits, spec.named) then
    handle:respond({ [":status"] = "403" }, "this version or label is not for the caller to choose: name none")
  else
    return false
  end
  return true
end

-- The label of a served name for this request; nil where the route gives none.
local function chosen_label(handle, name)
  if ROUTE.label and NAMES then return label_of(handle, name, ROUTE.label) end
  return ROUTE.label
end

-- What a REST path asks for.
local function spec_of_path(path)
  local name, rest = path:match("^/v1/models/([%w._-]+)(.*)")
  if not name then
    local customer, model, after = path:match("^/v1/customers/([%w-]+)/models/([%w-]+)(.*)")
    name, rest = customer and customer .. "." .. model or "", after or ""
  end
  -- What follows the name is mostly the verb.
  if rest:byte() ~= 47 then return { name = name, named = {} } end
  local version, label = rest:match("^/versions/(%d+)"), rest:match("^/labels/([%w._-]+)")
  return { name = name, version = tonumber(version), label = label, named = { version and ANY or label } }
end

local function on_rest(handle, limits)
  local path = handle:headers():get(":path")
  local spec = spec_of_path(path)
  if forbidden(handle, limits, spec) then return end
  if ROUTE.label then
    spec.label = chosen_label(handle, spec.name)
    -- The route itself rewrites to its own label.
    if spec.label ~= ROUTE.label then
      local chosen = path:gsub("^(/v1/models/[^/:]+):", "%1/labels/" .. spec.label .. ":")
      handle:headers():replace(":path", chosen)
    end
  end
  note(handle, spec)
end

local function on_grpc(handle, limits)
  local buffer = handle:body(true)
  local message, compressed = unframed(buffer)
  if compressed then
    return refuse(handle, "501", GRPC_UNIMPLEMENTED, "compressed messages are not taken: send them uncompressed")
  end
  if not message then return refuse(handle, "400", GRPC_INVALID_ARGUMENT, MALFORMED) end
  local specs, labelled = LABELLED[ROUTE.spec](message, chosen_label, handle)
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
  if NAMES then forget_mirror(handle) end
  local limits = limits_of(handle)
  if ROUTE.api == "grpc" then return on_grpc(handle, limits) end
  on_rest(handle, limits)
end

function envoy_on_request(handle)
  -- Envoy lets a request pass when a script fails, unlabelled and unchecked. This one refuses it.
  local sound, trouble = pcall(on_request, handle)
  if not sound then
    handle:logErr(tostring(trouble))
    handle:respond({ [":status"] = "500" }, "the gateway could not read the request")
  end
end
