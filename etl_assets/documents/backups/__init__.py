"""Copies of a home at one moment, and how they are checked and brought back."""
