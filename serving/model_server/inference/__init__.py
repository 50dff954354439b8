"""Classify, Regress and MultiInference: questions asked in examples, answered in classes and values.

Predict, which is asked in tensors, is `serving.model_server.predict`.
"""
