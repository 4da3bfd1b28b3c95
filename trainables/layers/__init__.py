"""The parts of networks: activations, normalisation, dropout, initial weights, blocks of layers."""
