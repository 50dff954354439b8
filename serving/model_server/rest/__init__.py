"""The REST way in: paths, the JSON forms of tensors, and the HTTP server that carries them."""
