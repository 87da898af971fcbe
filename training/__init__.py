"""Trains the packaged models from the shared data, one command each: ``python -m training.NAME``."""
