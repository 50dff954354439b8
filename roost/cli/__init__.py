"""The command `roost`. Commands hold no logic: they call the same use cases as everybody else.

Modules here import only Typer, Rich and contracts at the top; what is heavy is imported inside a command, so that
`roost --help` is quick and a process pays only for what it uses.
"""
