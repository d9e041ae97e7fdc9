"""The data sets as published, one module for each bundle: how they are recognised and what is made of them."""
