"""What a person touches: the `probe` command."""
