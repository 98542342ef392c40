"""Depth of the FIFOs between the stages of the C++ pipeline, from the folding."""

from __future__ import annotations

from hls.plan import Plan, most_ahead
from qmodel.frozen import INPUT, AveragePool, MaxPool, PlaneLayer, Stage, TimeSum

MARGIN = 2  # beats that a join's FIFO holds beyond what its data demands: what its two ends have in hand
SMALLEST = 2  # a FIFO of one beat would make its two ends wait for each other every other cycle


def longest_pause(stage: Stage, cycles: int) -> int:
    """Most clock cycles in which a plane layer takes nothing from its FIFO.

    Within a frame that is from the last time step taken in one output step to the first in the next; at its end, from
    the last time step of the frame to the first of the next one, while the engines finish what they have.
    """
    layer = stage.layer
    last = layer.padding[0] + stage.input_length - 1 - layer.span  # counted from the first one taken while computing
    if last < 0:
        at_the_end = stage.output_length * cycles + 1
    else:
        at_the_end = (stage.output_length - last // layer.stride) * cycles - last % layer.stride
    return max(cycles - layer.stride + 1, at_the_end)


def fifo_depths(plan: Plan) -> list[tuple[int, ...]]:
    """Beats that the FIFOs in front of every stage must hold, one per source, so that none makes the stage before wait.

    With p the longest pause of a stage and t the fewest cycles between two beats that the stage before it gives,
    ceil(p / t) + 1 beats gather in front of it; never more than a frame and one beat. Pools and sums without padding
    never pause. A pipeline without branches cannot lock up at any depth, so this is about throughput alone; where
    branches meet, the FIFOs also hold what one is ahead of the other (`most_ahead`).
    """
    network, entries = plan.network, iter(plan.layers)
    ahead = most_ahead(network)
    depths: list[tuple[int, ...]] = []
    intervals: dict[int, int] = {INPUT: network.input_channels}
    for index, stage in enumerate(network.stages):
        layer, interval = stage.layer, max(intervals[source] for source in stage.sources)
        if isinstance(layer, PlaneLayer):
            cycles = next(entries).kernel_cycles
            gathered = -(-longest_pause(stage, cycles) // interval) + 1
            depths.append((max(SMALLEST, min(gathered, stage.input_length + 1)),))
            interval = max(cycles, layer.stride * interval)
        elif len(stage.sources) > 1:
            depths.append(tuple(ahead[index, number] + MARGIN for number in range(len(stage.sources))))
        else:
            pause = sum(getattr(layer, "padding", ()))
            depths.append((max(SMALLEST, min(-(-pause // interval) + 1, stage.input_length + 1)),))
            if isinstance(layer, (MaxPool, AveragePool)):
                interval *= layer.stride
            elif isinstance(layer, TimeSum):
                interval *= stage.input_length
        intervals[index] = interval
    return depths
