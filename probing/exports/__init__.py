"""Tokens and predictions in the formats of other tools: each module writes one of them."""
