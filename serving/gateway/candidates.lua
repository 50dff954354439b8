-- The gateway of a canary pool, whose models have one version each and no label: a request that asks for the stable one,
-- as a copy from a serving pool's gateway does, is answered by the candidate. Follows `model_spec.lua` in the same script.

-- The ModelSpec in bytes[first..last] without its label.
local function spec_without_label(bytes, first, last)
  local out, copied = {}, first - 1
  each_field(bytes, first, last, function(number, kind, _, stop, at)
    if number ~= VERSION_LABEL or kind ~= BYTES then return true end
    out[#out + 1] = bytes:sub(copied + 1, at - 1)
    copied = stop
    return true
  end)
  return table.concat(out) .. bytes:sub(copied + 1, last)
end

-- The message in bytes[first..last] with each of its fields 1 as `change` gives it.
local function with_changed(bytes, first, last, change)
  local out, copied = {}, first - 1
  each_field(bytes, first, last, function(number, kind, start, stop, at)
    if number ~= MODEL_SPEC or kind ~= BYTES then return true end
    local changed = change(bytes, start, stop)
    out[#out + 1] = bytes:sub(copied + 1, at - 1) .. "\10" .. encoded_varint(#changed) .. changed
    copied = stop
    return true
  end)
  return table.concat(out) .. bytes:sub(copied + 1, last)
end

local function message_without_label(bytes, first, last) return with_changed(bytes, first, last, spec_without_label) end

-- Only where every spec that asks for something asks for the stable version: another choice stays a choice.
local function asks_for_stable(specs)
  local asked = false
  for _, spec in ipairs(specs) do
    for _, named in ipairs(spec.named) do
      if named ~= STABLE then return false end
      asked = true
    end
  end
  return asked
end

local function unlabelling(read, change)
  return function(bytes, choose)
    local specs, message = read(bytes, choose)
    if not specs or not asks_for_stable(specs) then return specs, message end
    return specs, change(message, 1, #message)
  end
end

LABELLED.message = unlabelling(LABELLED.message, message_without_label)
LABELLED.tasks = unlabelling(LABELLED.tasks, function(bytes, first, last)
  return with_changed(bytes, first, last, message_without_label)
end)
