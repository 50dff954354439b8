"""From Kafka to rows of the ledger: decode, validate, one row, commit.

Long work is never done between poll and commit. What cannot be handled ever goes to the dead letters; what cannot be
handled now is tried again.
"""
