"""Shapes of arrays as annotations: jaxtyping's for who checks them, names that cost nothing for who does not.

jaxtyping takes as long to import as a table of 5,000 rows to read (beside PyTorch it is nothing: `models` imports it
itself). Who checks shapes has it imported already.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Float32, Float64, Int, Int16, Shaped
else:

    class _Array:
        def __class_getitem__(cls, array_and_shape: tuple[Any, str]) -> Any:
            return array_and_shape[0]

    Bool = Float = Float32 = Float64 = Int = Int16 = Shaped = _Array

__all__ = ["Bool", "Float", "Float32", "Float64", "Int", "Int16", "Shaped"]
