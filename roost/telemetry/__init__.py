"""Logs, metrics and health: how a process says what it does."""
