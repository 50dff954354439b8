"""The demo: Roost's main job, act by act, on real flights, against the local stack.

Every statement that an act prints is checked first; one that does not hold makes the demo's exit code 1.
"""
