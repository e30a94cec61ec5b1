"""The latent explorer: a Streamlit app on a token table. `probe explore` serves it."""
