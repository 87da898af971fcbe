"""Original bytes to pages of text: one file per format, a table of parsers, and the worker processes that run them.

Nothing here knows of stages, stores or Dagster, so that a worker process starts in a fraction of a second.
"""
