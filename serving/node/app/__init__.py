"""The node's own page for predictions: rows of named features in, labelled answers out.

Behind the same gateway as the model server's API and beside it: what needs the manifest (input checks, labels, the
cohort's default) is done here, and the model server computes. TensorFlow is never imported.
"""
