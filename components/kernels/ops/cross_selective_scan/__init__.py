"""Back ends of ``cross_selective_scan``: one composed of a selective scan, and a fused one for the CPU."""
