"""`python -m roost` is the command `roost`."""

from roost.cli.app import main

main()
