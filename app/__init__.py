"""What a person touches: the `probe` command and the latent explorer."""
