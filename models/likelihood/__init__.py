"""Likelihoods of audio, the ELBO and tighter bounds, and baselines without a model."""
