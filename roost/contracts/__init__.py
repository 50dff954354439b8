"""What the processes say to each other: ids, events, manifests, desired state, acks, policy.

Pure: no I/O, no clock, no environment. Imports nothing but the standard library and pydantic.
"""
