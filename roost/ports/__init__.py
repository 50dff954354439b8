"""What Roost needs of the world, as Protocols. Each docstring states meaning, units and errors.

No SDK is imported here. Adapters, one vendor a file, live in `roost.adapters`; the fakes that unit tests use ship in
`roost.adapters.in_memory`.
"""
