"""What a sequence is made of: what its elements are, how a network sees them and how it predicts them."""
