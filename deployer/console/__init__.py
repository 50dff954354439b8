"""Console and REST API: shows what the ledger, the object store and the nodes say, and passes people's commands on.

Holds no state and decides nothing about rollouts: a command is a row that the deployer reads. Whatever is shown here
is read again each time; killing this process loses nothing.
"""
