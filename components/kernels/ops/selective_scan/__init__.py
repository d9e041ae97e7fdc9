"""Back ends of ``selective_scan``; naive.py is the definition."""
