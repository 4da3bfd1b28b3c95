"""Parts of networks: activations, normalisation, dropout, initial weights and transformer blocks."""
