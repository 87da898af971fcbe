"""A Dagster platform that turns documents into trustworthy, searchable, lineage-tracked assets."""

__version__ = "0.1.0"
