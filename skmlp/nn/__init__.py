"""Pure mathematics: arrays in, arrays out. Layers, activations, losses, initial weights, gradients."""
