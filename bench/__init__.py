"""Benchmarks: each a program that measures real parts, prints a table and writes JSON to ``bench/out/``.

``python -m bench --list`` names them. Machines are noisy: baselines run in the same run on the same box, and what
matters are the ratios. No benchmark is a test, and no test is timed.
"""
