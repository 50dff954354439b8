"""`python -m training`: what a training pod runs."""

from training.cli import main

main()
