"""What `probe train` does, on speech and on other sequences."""
