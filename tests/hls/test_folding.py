"""Folding: dealing, cycles, legal values and the choice of the cheapest balanced folding."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls import folding as foldings
from hls.estimate import estimate
from hls.folding import (
    Folding,
    FoldingError,
    LayerFolding,
    check,
    chunks,
    deal,
    estimated_luts,
    filter_visits,
    fold,
    legal_engines,
    legal_lanes,
    schedule,
    share_multipliers,
    smallest,
    step_cycles,
)
from hls.plan import Plan
from qmodel import models
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import frozen_networks, random_plane_layer


@pytest.fixture
def small_network():
    rng = np.random.default_rng(7)
    output = Format(4, 1, False)
    return FrozenNetwork(
        64,
        Format(8, 4, True),
        (
            random_plane_layer(rng, 1, 4, 8, padding=(3, 4), output=output),
            MaxPool(2, 2),
            random_plane_layer(rng, 4, 6, 5, padding=(2, 2), output=output),
            MaxPool(4, 2),
            TimeSum(),
            random_plane_layer(rng, 6, 3, 1, output=None),
        ),
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.data())
def test_deal_is_a_balanced_partition(seed, filters, data):
    layer = random_plane_layer(np.random.default_rng(seed), 3, filters, 4)
    engines = data.draw(st.integers(1, filters))
    hands = deal(layer, engines)
    assert sorted(f for hand in hands for f in hand) == list(range(filters))
    assert all(hand == tuple(sorted(hand)) and hand for hand in hands)
    visits = filter_visits(layer)
    loads = [int(visits[list(hand)].sum()) for hand in hands]
    # Graham's bound for longest processing time first: 4/3 - 1/(3m) of the optimum, itself at least these two.
    least = max(-(-int(visits.sum()) // engines), int(visits.max()))
    assert max(loads) <= (4 / 3) * max(least, int(np.sort(visits)[::-1][engines - 1 : engines + 1].sum()))
    assert hands == deal(layer, engines)


def test_step_cycles_counts_planes_times_chunks_and_one_for_an_empty_filter():
    rng = np.random.default_rng(1)
    layer = random_plane_layer(rng, 4, 6, 5, max_planes=2)
    visits = np.maximum(np.bincount(layer.plane_filter, minlength=6), 1)
    assert step_cycles(layer, LayerFolding(1, 20)) == visits.sum()
    assert step_cycles(layer, LayerFolding(1, 7)) == 3 * visits.sum()
    assert step_cycles(layer, LayerFolding(6, 20)) == visits.max()


@settings(deadline=None, max_examples=30)
@given(frozen_networks(), st.integers(0, 2**32 - 1))
def test_schedule_equals_a_plain_simulation(network, seed):
    rng = np.random.default_rng(seed)
    stages = network.plane_stages
    engines = [int(rng.choice(legal_engines(s.layer, s is stages[-1]))) for s in stages]
    lanes = [int(rng.choice(legal_lanes(s.layer))) for s in stages]
    folding = Folding(tuple(map(LayerFolding, engines, lanes)))
    check(network, folding)
    arrival, entries = list(range(1, network.input_length + 1)), iter(folding.layers)
    for stage in network.stages:
        layer, leaving, free = stage.layer, [], 0
        for step in range(stage.output_length):
            if hasattr(layer, "filters"):
                if step == 0:
                    cost = step_cycles(layer, next(entries))
                inputs = [step * layer.stride + tap - layer.padding[0] for tap in range(layer.taps)]
                inputs = [i for i in inputs if 0 <= i < stage.input_length] or [0 if inputs[-1] < 0 else -1]
                free = max(free, arrival[inputs[-1]]) + cost
                leaving.append(free)
            elif hasattr(layer, "size"):
                leaving.append(arrival[step * layer.stride + layer.size - 1])
            else:
                leaving.append(arrival[-1])
        arrival = leaving
    assert Plan.of(network, folding).schedule.frame == arrival[-1]


def test_illegal_values_are_answered_with_the_legal_ones(small_network):
    stages = small_network.plane_stages
    good = [LayerFolding(1, legal_lanes(s.layer)[0]) for s in stages]
    check(small_network, Folding(tuple(good)))
    with pytest.raises(FoldingError, match=r"conv1: lanes must be one of \[1, 2, 3, 4, 8\], received 5"):
        check(small_network, Folding((LayerFolding(1, 5), *good[1:])))
    with pytest.raises(FoldingError, match="conv1: engines must be 1 to 4, received 9"):
        check(small_network, Folding((LayerFolding(9, 8), *good[1:])))
    with pytest.raises(FoldingError, match=r"engines must be 1 to 1 \(the last layer gives its logits out in order\)"):
        check(small_network, Folding((*good[:-1], LayerFolding(2, 1))))
    with pytest.raises(FoldingError, match="one entry per plane layer"):
        check(small_network, Folding(()))


def test_fold_meets_its_target_and_gets_cheaper_with_time(small_network):
    engines = []
    for target in (192, 256, 512, 2048):
        folding = fold(small_network, target)
        check(small_network, folding)
        plan = Plan.of(small_network, folding).schedule
        assert plan.between_frames <= target
        assert plan.frame <= target * 5 / 3
        engines.append(sum(e.engines * e.lanes for e in folding.layers))
    assert engines == sorted(engines, reverse=True)
    assert engines[0] > engines[-1]


def test_fold_relaxes_the_target_for_a_budget(small_network):
    fast, slow = fold(small_network, 192), fold(small_network, 8192)
    budget = int((estimated_luts(small_network, fast) + estimated_luts(small_network, slow)) / 2)
    folding = fold(small_network, 192, lut_budget=budget)
    assert estimated_luts(small_network, folding) <= budget
    assert (
        Plan.of(small_network, folding).schedule.between_frames < Plan.of(small_network, slow).schedule.between_frames
    )
    assert fast == fold(small_network, 192, lut_budget=10**6)
    with pytest.raises(FoldingError, match="the smallest folding needs about"):
        fold(small_network, lut_budget=10)


def test_fold_refuses_what_cannot_be(small_network):
    with pytest.raises(FoldingError, match="target_cycles must be at least 64, one cycle per input sample, received 3"):
        fold(small_network, 3)
    with pytest.raises(FoldingError, match="part must be one of"):
        fold(small_network, part="xc7z010")
    with pytest.raises(FoldingError, match="a frame every 64 cycles is out of reach: the fastest folding"):
        fold(small_network, 64)


def test_without_a_target_the_fastest_folding_is_taken(small_network):
    plan = Plan.of(small_network).schedule
    assert plan.between_frames == 192
    assert plan.frame < 192 * 5 / 3


@pytest.mark.parametrize("count", [1, 7, 16, 96, 224])
def test_legal_lanes_are_the_smallest_for_their_chunks(count):
    layer = random_plane_layer(np.random.default_rng(0), 1, 2, count)
    legal = legal_lanes(layer)
    assert legal[0] == 1
    assert legal[-1] == count
    assert all(chunks(layer, lanes - 1) > chunks(layer, lanes) for lanes in legal[1:])


def test_engines_beyond_the_multipliers_cost_adders(small_network):
    with_blocks, without = (fold(small_network, 192, dsp_budget=budget) for budget in (16, 0))
    assert estimated_luts(small_network, with_blocks, dsp_budget=16) < estimated_luts(
        small_network, without, dsp_budget=0
    )
    assert sum(e.engines for e in without.layers) <= sum(e.engines for e in with_blocks.layers)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 50)), min_size=1, max_size=6), st.integers(0, 9))
def test_multipliers_go_where_they_save_most(layers, budget):
    engines, saved = zip(*layers)
    given_ = share_multipliers(engines, saved, budget)
    assert sum(number for number, own in zip(engines, given_) if own) <= budget
    best = max(
        sum(value for value, own in zip(saved, choice) if own)
        for choice in product((False, True), repeat=len(layers))
        if sum(number for number, own in zip(engines, choice) if own) <= budget
    )
    assert sum(value for value, own in zip(saved, given_) if own) == best


def test_a_target_is_met_with_the_fewest_luts_of_all(small_network):
    """Every folding of three layers tried, with the multipliers that the part has."""
    stages = small_network.plane_stages
    every = product(
        *(
            [LayerFolding(e, n) for e in legal_engines(s.layer, s is stages[-1]) for n in legal_lanes(s.layer)]
            for s in stages
        )
    )
    target, least = 2048, np.inf
    for layers in every:
        folding = Folding(layers)
        if schedule(small_network, [step_cycles(s.layer, e) for s, e in zip(stages, layers)]).between_frames <= target:
            least = min(least, estimated_luts(small_network, folding))
    assert least <= estimated_luts(small_network, fold(small_network, target)) <= 1.03 * least


@pytest.mark.parametrize(("resource", "share"), [("ffs", 0.7), ("bram36", 0.4), ("luts", 0.7)])
def test_what_a_part_holds_is_a_limit(resource, share, monkeypatch):
    """An estimate beyond the part is relaxed where no target is given, and refused by name where one is."""
    rng = np.random.default_rng(3)
    layers = (
        random_plane_layer(rng, 1, 40, 8, max_planes=2, output=Format(4, 1, False)),
        random_plane_layer(rng, 40, 40, 5, max_planes=2, output=Format(4, 1, False)),
        random_plane_layer(rng, 40, 4, 1, output=None),
    )
    network = FrozenNetwork(512, Format(8, 4, True), layers)
    free = Plan.of(network, fold(network, 4100))
    used = estimate(free).area
    limit = share * getattr(used, resource)
    monkeypatch.setitem(foldings.DEVICES, "xc7z020", foldings.DEVICES["xc7z020"]._replace(**{resource: limit}))
    relaxed = Plan.of(network, fold(network))
    assert getattr(estimate(relaxed).area, resource) <= limit
    resource_name = {"ffs": "flip-flops", "luts": "LUTs", "bram36": "BRAM36"}[resource]
    if resource != "bram36":  # tables of fewer words need none: a folding with another trade is found
        with pytest.raises(FoldingError, match=rf"needs more than xc7z020 has .*{resource_name}"):
            fold(network, 4100)


def test_more_luts_buy_latency_where_they_are_cheap():
    """Least LUTs for a frame as it arrives: 5,575 cycles to the last logit, which 2.4 % more LUTs bring below 5,000."""
    network = models.load("compact")
    plan = Plan.of(network)
    assert estimate(plan).cycles_per_frame <= 5000
    assert plan.schedule.between_frames == 3600


def test_an_estimate_of_a_million_weights_takes_no_time():
    """Formulas walk planes and steps, never cycles: the smallest core of this one works 75 million cycles a frame."""
    rng = np.random.default_rng(0)

    def layer(channels, filters, taps):
        return random_plane_layer(rng, channels, filters, taps, max_planes=2, output=Format(4, 1, False))

    layers = (layer(1, 64, 16), MaxPool(4, 4), layer(64, 256, 16), layer(256, 256, 11), TimeSum(), layer(256, 17, 1))
    network = FrozenNetwork(3600, Format(8, 4, True), layers)
    assert network.parameter_count > 980_000
    begin = time.process_time()
    row = estimate(Plan.of(network, smallest(network))).row
    assert time.process_time() - begin < 3
    assert row["cycles_between_frames"] > 10**8
