-- The front of several pools: finds the pool of a request's served name, and has the route chosen by it. Follows
-- `model_spec.lua` in the same script, uses its readers, and takes the place of its `envoy_on_request`.
--
-- NAMES (`serving/gateway/front.py`) stands before this in the script of the door's route: a cluster by served name. A
-- request whose name cannot be read goes where names go that are not listed: a node's gateway refuses it in the right
-- words.

local POOL_HEADER = "x-roost-pool"
local MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"

local function no_label() return nil end

-- The served name in the message of a gRPC request; of several tasks the first one's.
local function name_in_message(handle, path)
  local buffer = handle:body(true)
  local message = unframed(buffer:getBytes(0, buffer:length()))
  local specs = message and LABELLED[path == MULTI_INFERENCE and "tasks" or "message"](message, no_label)
  return specs and specs[1] and specs[1].name or ""
end

local function place_request(handle)
  local context = handle:filterContext()
  local api, otherwise = context:get("api"), context:get("otherwise")
  local path = handle:headers():get(":path")
  local name = api == "rest" and spec_of_path(path).name or api == "grpc" and name_in_message(handle, path) or ""
  handle:headers():replace(POOL_HEADER, NAMES[name] or otherwise)
end

function envoy_on_request(handle)
  local sound, trouble = pcall(place_request, handle)
  if not sound then
    handle:logErr(tostring(trouble))
    handle:respond({ [":status"] = "500" }, "the front could not read the request")
  end
end
