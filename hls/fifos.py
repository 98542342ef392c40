"""Depth of the FIFOs between the stages of the C++ pipeline, from the folding."""

from __future__ import annotations

from hls.plan import Plan
from qmodel.frozen import MaxPool, PlaneLayer, Stage

SMALLEST = 2  # a FIFO of one beat would make its two ends wait for each other every other cycle


def longest_pause(stage: Stage, cycles: int) -> int:
    """Most clock cycles in which a plane layer takes nothing from its FIFO.

    Within a frame that is from the last time step taken in one output step to the first in the next; at its end, from
    the last time step of the frame to the first of the next one, while the engines finish what they have.
    """
    layer = stage.layer
    last = layer.padding[0] + stage.input_length - 1 - layer.taps  # counted from the first one taken while computing
    if last < 0:
        at_the_end = stage.output_length * cycles + 1
    else:
        at_the_end = (stage.output_length - last // layer.stride) * cycles - last % layer.stride
    return max(cycles - layer.stride + 1, at_the_end)


def fifo_depths(plan: Plan) -> list[int]:
    """Beats that the FIFO in front of every stage must hold so that it never makes the stage before it wait.

    With p the longest pause of a stage and t the fewest cycles between two beats that the stage before it gives,
    ceil(p / t) + 1 beats gather in front of it; never more than a frame and one beat. Pools and sums never pause.
    A pipeline without branches cannot lock up at any depth, so this is about throughput alone.
    """
    entries, depths, interval = iter(plan.layers), [], 1
    for stage in plan.network.stages:
        layer = stage.layer
        if isinstance(layer, PlaneLayer):
            cycles = next(entries).kernel_cycles
            gathered = -(-longest_pause(stage, cycles) // interval) + 1
            depths.append(max(SMALLEST, min(gathered, stage.input_length + 1)))
            interval = max(cycles, layer.stride * interval)
        else:
            depths.append(SMALLEST)
            interval *= layer.stride if isinstance(layer, MaxPool) else stage.input_length
    return depths
