"""Instance norm with what follows it in a residual block: the residual connection and the leaky ReLU."""
