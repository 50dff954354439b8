"""One serving replica: keeps a model server and a gateway as children, and them at the pool's desired state.

The way of a generation: `desired` reads and fences it, `sync` brings its versions into the `cache`, `engine` reloads
the model server (`model_server`, `model_config`), waits, has each version proved (`proof`), moves labels, and says so
on the `board`, which `control` answers from. TensorFlow is never imported in this process.
"""
