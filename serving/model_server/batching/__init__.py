"""Batching across requests, as TensorFlow Serving's batching session does it: `--enable_batching`.

`parameters` is the file, `joining` puts requests' tensors together and apart again, `queue` decides which requests go
together and when (no threads, no clock), `scheduler` has the threads that run them.
"""
