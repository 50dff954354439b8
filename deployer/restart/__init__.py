"""The fallback: restarts a pool's nodes one at a time, capacity held, for what neither push nor pull could mend.

The first node is the boot test: nothing else is touched before it has come back and serves every desired version. A
version that a node reports as failed refuses the restart before the first node.
"""
