"""The drop-in model server: behaves as `tensorflow_model_server` wherever a client, a flag or a metric can tell.

It stands in where the official binary is absent. One process: gRPC (port and Unix socket), REST, and Prometheus
metrics over the models that a config lists. `core` holds the use cases; `lifecycle` loads and unloads; `runtime` is the
only module that touches TensorFlow's session binding; `rest` and `grpc_server` are the two ways in.
"""
