"""Finished documents written to the stores, committed together, and moved with them."""
