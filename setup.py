"""For tools that still call setup.py; everything it needs is in pyproject.toml."""

from setuptools import setup

setup()
