"""Sequential latent variable models of raw speech, in PyTorch. Knows no corpus."""
