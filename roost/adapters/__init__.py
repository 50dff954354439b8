"""The world's side of the ports: one vendor a file, SDKs imported here only, errors translated at the boundary."""
