"""Writes the desired states of pools, many rollouts in one generation, and watches nodes take them up."""
