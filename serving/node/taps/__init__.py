"""Taps: a sample of what customers ask, redacted on the node, for the canary to ask again.

Nothing here is in the path of an answer. The gateway sends copies, whose answers it drops, and the node's own page
offers what it has answered; both end in a bounded queue. What is in memory when a node dies is lost, and nothing waits
for the object store. Off means off: without a rate in the policy the gateway makes no copies.
"""
