"""What a training run does: load, check, train, evaluate, export, stage, publish.

One run is one process (`python -m training run …`): a pod in production, a task's child on one machine. TensorFlow is
imported only by the steps that need it. A user's own data come in by `training.datasets`, a user's own model by
`training.models`; both are named in the settings as ``module:attribute``.
"""
