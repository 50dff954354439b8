"""Takes one rollout one step further. One handler per phase; each step is idempotent and one transaction."""
