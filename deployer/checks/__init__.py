"""Canary checks: one file each, listed once in `registry`. Each measures a `CanarySubject` and says one sentence."""
