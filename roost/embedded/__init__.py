"""The local stack: the same parts as production, out of wheels, as processes of one machine.

supervisord starts, watches and restarts processes; this room knows which parts there are, in which order they may
start, when each is ready, and how to leave nothing behind. Nothing here is imported by a service.
"""
