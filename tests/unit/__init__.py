"""Unit tests: they start nothing and connect to nothing, and `tests/unit/conftest.py` enforces it."""
