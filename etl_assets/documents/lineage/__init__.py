"""Where a thing came from, and what a change of it touches."""
