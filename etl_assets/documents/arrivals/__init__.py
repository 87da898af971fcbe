"""What arrives: found by listing or by events, and taken into the ledger and the originals."""
