"""What a run would do and cost, asked before it runs."""
