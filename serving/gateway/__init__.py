"""The gateway of a serving node: Envoy, with a configuration rendered from typed settings.

Nothing here is in the path of a prediction but `model_spec.lua`, which Envoy runs: this room renders, checks, steers.
"""
