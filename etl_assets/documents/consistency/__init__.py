"""Every store read back and compared with the ledger, and what differs repaired."""
