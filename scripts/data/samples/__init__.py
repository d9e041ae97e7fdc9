"""The samples of the bundles: one module for each, which makes a data set of the images here or draws them."""
