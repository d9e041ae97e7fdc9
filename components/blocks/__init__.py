"""Layers and blocks of the networks: ``vss`` for MSVM-UNet, ``vil`` and ``residual`` for xLSTM-UNet, … ."""
