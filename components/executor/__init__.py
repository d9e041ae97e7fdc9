"""How a network runs its blocks: as they are written, or in less memory and time.

Blocks are plain PyTorch modules, which say what is computed. What saves memory and time is here alone. Networks ask
:func:`executing` for an :class:`Executor` and give it their blocks.
"""

from .execution import Executor, executing

__all__ = ["Executor", "executing"]
