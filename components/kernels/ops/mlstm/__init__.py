"""Back ends of ``mlstm``; naive.py is the definition."""
