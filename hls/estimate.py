"""Estimates of a folded core before anything is generated: cycles, LUTs, flip-flops, block RAM, multipliers, FIFO bits.

Every number here is *estimated* by these formulas; simulation and synthesis measure the same quantities.

    cycles of an output step   max over engines of sum over filters of max(1, planes) * ceil(group size / lanes)
    busy cycles of a layer     output steps * cycles of an output step
    cycles between frames      max(input length, busy cycles of every layer)
    cycles per frame           end of the last output step, where step n of a layer ends at
                               max(arrival of its last input, end of step n - 1) + cycles of an output step,
                               plus per layer the registers it passes: adder tree levels + 9 (+ 1 per pool or sum)
    LUTs, flip-flops           engines * (adder tree + signs + coordinates and biases + requantisation)
                               + line buffer + control + pools + FIFO   (`hls.area`)
    block RAM                  tables of more than 64 words, in halves of 36 kbit
    multipliers                one per engine, as far as the budget of multipliers reaches
    FIFO bits                  depth * width of the buffers between layers, depth derived from what can still be in the
                               pipeline when the buffer asks to stop, plus what the next layer's padding holds up
"""

from __future__ import annotations

from dataclasses import dataclass

from hls.area import DEVICES, Area, after_area, buffer_area, frame_area, layer_area
from hls.plan import Plan
from qmodel.errors import InputError

ENGINE_REGISTERS = 9  # window complete to FIFO read, adder tree and pools not counted


class BudgetError(InputError):
    """An estimate exceeds a budget; the message says by how much, and what would fit."""


@dataclass(frozen=True)
class LayerEstimate:
    """One plane layer (estimated): its folding, cycles and resources, the pools and sums behind it included."""

    name: str
    engines: int
    lanes: int
    chunks: int
    planes: int
    steps: int
    cycles_per_step: int
    area: Area
    sign_bits: int
    fifo_bits: int

    @property
    def cycles(self) -> int:
        """Busy cycles per frame."""
        return self.steps * self.cycles_per_step


@dataclass(frozen=True)
class Estimate:
    """A whole core (estimated)."""

    part: str
    cycles_per_frame: int
    cycles_between_frames: int
    area: Area
    fifo_bits: int
    layers: tuple[LayerEstimate, ...]

    @property
    def row(self) -> dict[str, float | int | str]:
        """The totals under the names of the result tables."""
        return {
            "kind": "estimated",
            "target": self.part,
            "cycles_per_frame": self.cycles_per_frame,
            "cycles_between_frames": self.cycles_between_frames,
            "luts": round(self.area.luts),
            "ffs": round(self.area.ffs),
            "bram36": self.area.bram36,
            "dsp": self.area.dsps,
            "fifo_bits": self.fifo_bits,
        }


@dataclass(frozen=True)
class Budget:
    """What a core may use; None: whatever the part holds, or any number of cycles."""

    luts: int | None = None
    ffs: int | None = None
    bram36: float | None = None
    dsp: int | None = None
    cycles_per_frame: int | None = None
    cycles_between_frames: int | None = None


PYNQ_BUDGET = Budget(luts=13_000, bram36=20, dsp=16, cycles_per_frame=6_000, cycles_between_frames=3_700)


def estimate(plan: Plan) -> Estimate:
    """Estimate a folded core by the formulas above."""
    layers, registers, others = [], 0, []
    device = DEVICES[plan.part]
    for segment in plan.segments:
        layer = segment.head
        if layer is None:
            lanes, beats = segment.leaving.lanes, len(segment.leaving.channels)
            stages = [stage for stage in (segment.join, *(stage for _, stage in segment.after)) if stage]
            others += [after_area(stage, lanes, beats, device) for stage in stages]
            others += [buffer_area(buffer.width, buffer.depth, device) for buffer in segment.buffers]
            registers += len(stages)
            continue
        stage, entry, after = layer.stage, layer.folding, [stage for _, stage in segment.after]
        registers += ENGINE_REGISTERS + layer.levels + len(after)
        layers.append(
            LayerEstimate(
                name=stage.name,
                engines=entry.engines,
                lanes=entry.lanes,
                chunks=layer.chunks,
                planes=len(stage.layer.coordinates),
                steps=stage.output_length,
                cycles_per_step=layer.cycles,
                area=layer_area(stage, *entry, after, plan.part, layer.multiplier),
                sign_bits=stage.layer.signs.size,
                fifo_bits=sum(buffer.bits for buffer in segment.buffers),
            )
        )
    return Estimate(
        plan.part,
        plan.schedule.frame + registers,
        plan.schedule.between_frames,
        frame_area(plan.part).plus(*(layer.area for layer in layers), *others),
        sum(buffer.bits for buffer in plan.buffers),
        tuple(layers),
    )


def check_budget(estimated: Estimate, budget: Budget = PYNQ_BUDGET) -> None:
    """Raise BudgetError where an estimate exceeds the budget or the part."""
    part, row = DEVICES[estimated.part], estimated.row
    limits = {
        "luts": (budget.luts, part.luts),
        "ffs": (budget.ffs, part.ffs),
        "bram36": (budget.bram36, part.bram36),
        "dsp": (budget.dsp, part.dsps),
        "cycles_per_frame": (budget.cycles_per_frame, None),
        "cycles_between_frames": (budget.cycles_between_frames, None),
    }
    exceeded = []
    for name, given in limits.items():
        limit = min((value for value in given if value is not None), default=None)
        if limit is not None and float(row[name]) > limit:
            exceeded.append(f"{name} {row[name]} > {limit}")
    if exceeded:
        raise BudgetError(
            f"estimated for {estimated.part}: {', '.join(exceeded)}; "
            "relax the target (`fold(network, target_cycles)`), give a LUT budget (`fold(network, lut_budget=...)`), "
            "or freeze the network with fewer planes"
        )
