"""Values measured on nnU-Net, kept as data of the tests."""
