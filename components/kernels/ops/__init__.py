"""One folder for each operator, of its name: ``operator.py`` is the public function, the other modules are back ends.

The functions are exported by :mod:`components.kernels`. Modules here are imported when they are needed, so that no
optional package is.
"""
