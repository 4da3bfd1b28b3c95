"""What networks are made of: activations, normalisation, dropout, initial weights, blocks of layers."""
