"""The QKeras quantizer `alq`: multi-bit binary bases with adaptive coordinates."""

from __future__ import annotations

import math
from typing import Any

from keras import ops
from keras.saving import register_keras_serializable
from qkeras import quantizers
from qkeras.base_quantizer import BaseQuantizer

from qmodel.alq import basis
from qmodel.arrays import Array
from qmodel.errors import InputError

PACKAGE = "ecg_alq"


@register_keras_serializable(package=PACKAGE)
class alq(BaseQuantizer):  # noqa: N801 - quantizers are lower case in QKeras
    """Adaptive loss-aware quantizer, w = sum_i alpha_i b_i with b_i in {-1, +1}.

    Forward: every weight becomes the sign combination nearest to it; the coordinates come from the layer
    (`ALQConv1D`, `ALQDense` keep and train them) or, in a plain `QConv1D` or `QDense`, from a sketch of the kernel.
    Gradient: straight through to the kernel; B' dL/dw to the coordinates.

    Args:
        bits: planes per group at most; pruning leaves fewer.
        grouping: channelwise, pixelwise, kernelwise or subchannels (then `subchannels` groups per filter).
        coordinate_bits: width of the coordinates; None: floating point.
        coordinate_fraction: their binary places; None: as many as the largest coordinate leaves.
    Raises: InputError: bits below 1 or above 8, unknown grouping.
    Example: `QConv1D(8, 7, kernel_quantizer=alq(bits=2, grouping="pixelwise"))`
    Source: CVPR 2020, arXiv 1912.08883; number contract.
    """

    # QKeras rescales the initial weights of quantizers unless their scale is adaptive, which it reads here.
    alpha = "adaptive"

    def __init__(
        self,
        bits: int = 2,
        grouping: str = "channelwise",
        subchannels: int = 1,
        coordinate_bits: int | None = None,
        coordinate_fraction: int | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise InputError(f"bits must be 1 to 8 (2**bits combinations are compared), received {bits}")
        if grouping not in basis.GROUPINGS:
            raise InputError(f"grouping must be one of {', '.join(basis.GROUPINGS)}, received {grouping!r}")
        if coordinate_fraction is not None and coordinate_bits is None:
            raise InputError("coordinate_fraction needs coordinate_bits")
        self.bits = bits
        self.grouping = grouping
        self.subchannels = subchannels
        self.coordinate_bits = coordinate_bits
        self.coordinate_fraction = coordinate_fraction

    def groups(self, kernel_shape: tuple[int, ...]) -> int:
        """Groups per filter of a kernel (tap, channel, filter) or (input, filter)."""
        return basis.groups_per_filter(tuple(kernel_shape), self.grouping, self.subchannels)

    def sketch(self, kernel: Array) -> Array:
        """Coordinates (filter, group, plane) of a greedy fit to a kernel."""
        return basis.sketch(basis.to_groups(kernel, self.grouping, self.subchannels), self.bits)[1]

    def round_coordinates(self, coordinates: Array) -> Array:
        """Coordinates on the fixed-point grid (half to even, saturating); unchanged when they are floating point."""
        if self.coordinate_bits is None:
            return coordinates
        fraction = self.coordinate_fraction
        step = 2.0**-fraction if fraction is not None else _largest_step(coordinates, self.coordinate_bits)
        integers = ops.clip(ops.round(coordinates / step), 1, 2**self.coordinate_bits - 1)
        return ops.where(coordinates > 0, integers * step, 0.0)  # only pruning makes a coordinate zero

    def signs(self, kernel: Array, coordinates: Array) -> Array:
        """Nearest sign combination of every weight, shape (filter, group, plane, weight)."""
        return basis.nearest_signs(basis.to_groups(kernel, self.grouping, self.subchannels), coordinates)

    def __call__(self, kernel: Array, coordinates: Array | None = None) -> Array:
        kernel = ops.convert_to_tensor(kernel)
        if len(kernel.shape) not in (2, 3):  # as QKeras' own two-dimensional and separable layers ask
            raise InputError(
                f"alq takes kernels (tap, channel, filter) or (input, unit), received shape {tuple(kernel.shape)}: use "
                "ALQConv1D and ALQDense; of a SeparableConv1D `from_float(model)` makes them, and two-dimensional "
                "convolutions have no frozen form"
            )
        coordinates = self.sketch(kernel) if coordinates is None else ops.convert_to_tensor(coordinates)
        rounded = self.round_coordinates(coordinates)
        signs = ops.stop_gradient(self.signs(kernel, rounded))
        # Straight through: the added differences are exactly zero, so the value stays on the grid to the last bit.
        # A pruned coordinate has no gradient, so no optimiser brings its plane back.
        live = ops.cast(coordinates > 0, coordinates.dtype)
        through = ops.stop_gradient(rounded) + (coordinates - ops.stop_gradient(coordinates)) * live
        weights = basis.from_groups(basis.reconstruct(signs, through), tuple(kernel.shape), self.grouping)
        return weights + (kernel - ops.stop_gradient(kernel))

    def max(self) -> float:
        """Bound that QKeras asks for; coordinates adapt, so there is none but this nominal one."""
        return 1.0

    def min(self) -> float:
        """Negative of `max`."""
        return -1.0

    def __str__(self) -> str:
        # QKeras evaluates it again (`get_quantizer`), so it names all that differs from the defaults.
        said = [str(self.bits)]
        if self.grouping != "channelwise":
            said.append(f"grouping='{self.grouping}'")
        if self.subchannels != 1:
            said.append(f"subchannels={self.subchannels}")
        if self.coordinate_bits is not None:
            said.append(f"coordinate_bits={self.coordinate_bits}")
        if self.coordinate_fraction is not None:
            said.append(f"coordinate_fraction={self.coordinate_fraction}")
        return f"alq({','.join(said)})"

    def get_config(self) -> dict[str, Any]:
        return {
            "bits": self.bits,
            "grouping": self.grouping,
            "subchannels": self.subchannels,
            "coordinate_bits": self.coordinate_bits,
            "coordinate_fraction": self.coordinate_fraction,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> alq:
        return cls(**config)


def coordinate_fraction(largest: float, coordinate_bits: int) -> int:
    """Binary places with which the largest coordinate still fits `coordinate_bits` unsigned bits."""
    return math.floor(math.log2((2**coordinate_bits - 1) / largest)) if largest > 0 else coordinate_bits


def _largest_step(coordinates: Array, coordinate_bits: int) -> Array:
    largest = ops.maximum(ops.max(coordinates), 1e-12)
    return 2.0 ** ops.ceil(ops.log2(largest / (2**coordinate_bits - 1)))


# QKeras reads quantizers given as strings ("alq(bits=2)") among the names of its own module.
quantizers.alq = alq
