"""The index generations of a collection: which are in use, built, compared and promoted."""
