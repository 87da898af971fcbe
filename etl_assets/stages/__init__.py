"""The incremental engine: what is wanted, done, missing and dropped; segments and their compaction."""
