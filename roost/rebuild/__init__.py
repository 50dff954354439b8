"""`roost rebuild`: the ledger, made again from what outlives it: the desired objects, stored versions, Kafka's topics.

Everything is read first and worked out in memory; then the ledger is filled in one transaction. Nothing is written to
the object store or to Kafka: what serves, and where consumers stand, stays as it is.
"""
