"""The scripts behind the figures of the documentation; benchmark.py uses harness.py and torch_steps.py."""
