"""Weight files: what is in them, and the way of published ones into a bundle."""
