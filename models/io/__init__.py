"""Files that appear whole or not at all, locked folders, and checks of 16-bit PCM."""
