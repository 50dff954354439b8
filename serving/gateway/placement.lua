-- The front of several pools: finds the pool of a request's served name, and has the route chosen by it. Follows
-- `model_spec.lua` in the same script, uses its readers, and takes the place of its `envoy_on_request`.
--
-- Before this in the script of the door's route stand (`serving/gateway/front.py`) NAMES, a cluster by served name, and
-- ROUTE: `api` as there, and `otherwise`, the cluster of names that are not listed. There goes also a request whose name
-- cannot be read: a node's gateway refuses it in the right words.

local POOL_HEADER = "x-roost-pool"
local MULTI_INFERENCE = "/tensorflow.serving.PredictionService/MultiInference"

local function no_label() return nil end

-- The served name in the message of a gRPC request; of several tasks the first one's.
local function name_in_message(handle, path)
  local message = unframed(handle:body(true))
  local specs = message and LABELLED[path == MULTI_INFERENCE and "tasks" or "message"](message, no_label)
  return specs and specs[1] and specs[1].name or ""
end

local function place_request(handle)
  local path = handle:headers():get(":path")
  local name = ROUTE.api == "rest" and spec_of_path(path).name or ROUTE.api == "grpc" and name_in_message(handle, path) or ""
  handle:headers():replace(POOL_HEADER, NAMES[name] or ROUTE.otherwise)
end

function envoy_on_request(handle)
  local sound, trouble = pcall(place_request, handle)
  if not sound then
    handle:logErr(tostring(trouble))
    handle:respond({ [":status"] = "500" }, "the front could not read the request")
  end
end
