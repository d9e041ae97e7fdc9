"""Federated training of a bundle with NVIDIA FLARE: each site trains on its own data, a server averages the weights."""
