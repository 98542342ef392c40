"""The name for what Keras' backend and NumPy compute with: no type covers both, so type checkers take it as it is."""

from typing import Any, TypeAlias

Array: TypeAlias = Any
