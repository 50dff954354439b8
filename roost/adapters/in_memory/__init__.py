"""Fakes that ship: each port in memory, one port a file, held to the same contract tests as the real adapter."""
