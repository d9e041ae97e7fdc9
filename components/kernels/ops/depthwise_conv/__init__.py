"""Depthwise convolution by larger kernels, whose gradient PyTorch computes slowly on a CPU."""
