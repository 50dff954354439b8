"""Roost brings one TensorFlow model per customer from a signup event to every serving replica, safely.

This package holds what the processes share: contracts, ports, adapters, settings, telemetry, and the command.
"""

__version__ = "0.1.0"
