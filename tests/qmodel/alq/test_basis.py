"""The algebra of binary bases: properties over random shapes, groupings, bitwidths and masks; reference faults."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmodel.alq import basis


@st.composite
def groups(draw, max_planes=4):
    """Random weights (filter, group, weight) in float64, a generator and a number of planes."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 20)))
    return random.normal(0, draw(st.sampled_from([1e-3, 0.1, 10.0])), shape), random, draw(st.integers(1, max_planes))


def masked_coordinates(random, shape, share=0.3):
    """Positive coordinates, some pruned."""
    return np.where(random.random(shape) < share, 0.0, random.uniform(0.01, 1, shape))


@settings(max_examples=50)
@given(groups())
def test_sketch_error_never_rises_with_a_plane(case):
    weights, _, planes = case
    errors = []
    for bits in range(1, planes + 2):
        signs, coordinates = (np.asarray(a) for a in basis.sketch(weights, bits))
        assert set(np.unique(signs)) <= {-1.0, 1.0}
        assert (coordinates >= 0).all()
        assert (np.diff(coordinates, axis=-1) >= 0).all()
        errors.append(((weights - np.asarray(basis.reconstruct(signs, coordinates))) ** 2).sum(-1))
    energy = (weights**2).sum(-1)
    for before, after in itertools.pairwise(errors):
        assert (after <= before + 1e-9 * energy).all()


def test_sketch_of_one_plane_is_the_mean_magnitude():
    """min over alpha and b of |w - alpha b| is b = sign(w), alpha = mean |w| (Rastegari et al., ECCV 2016, eq. 6)."""
    weights = np.array([[[0.5, -1.5, 1.0, -3.0]]])
    signs, coordinates = basis.sketch(weights, 1)
    assert np.allclose(coordinates, 1.5)
    assert np.asarray(signs).tolist() == [[[[1, -1, 1, -1]]]]


def test_sketch_stops_when_the_weights_are_met():
    """Weights of one magnitude need one plane; the other planes stay empty."""
    _, coordinates = basis.sketch(np.array([[[2.0, -2.0, 2.0]]]), 3)
    assert np.asarray(coordinates).tolist() == [[[0.0, 0.0, pytest.approx(2.0)]]]


@settings(max_examples=50)
@given(groups())
def test_nearest_signs_is_the_best_of_all_combinations(case):
    weights, random, planes = case
    coordinates = masked_coordinates(random, (*weights.shape[:2], planes))
    ours = np.asarray(basis.reconstruct(basis.nearest_signs(weights, coordinates), coordinates))
    levels = [coordinates @ np.array(signs) for signs in itertools.product([-1, 1], repeat=planes)]
    best = np.min([np.abs(weights - level[..., None]) for level in levels], axis=0)
    assert np.allclose(np.abs(weights - ours), best)


@settings(max_examples=50)
@given(groups())
def test_refit_never_raises_the_quadratic_model(case):
    weights, random, planes = case
    coordinates = masked_coordinates(random, (*weights.shape[:2], planes))
    gradient, hessian = random.normal(0, 1, weights.shape), random.uniform(0.1, 2, weights.shape)
    signs = np.asarray(basis.nearest_signs(basis.quadratic_target(weights, gradient, hessian), coordinates))

    def model(signs, coordinates):
        step = np.asarray(basis.reconstruct(signs, coordinates)) - weights
        return (gradient * step + hessian * step**2 / 2).sum(-1)

    before = model(signs, coordinates)
    after_signs, after = (np.asarray(a) for a in basis.refit(signs, coordinates, weights, gradient, hessian))
    assert (after >= 0).all()
    assert ((after > 0) <= (coordinates > 0)).all(), "a pruned plane came back"
    assert (model(after_signs, after) <= before + 1e-5 * (1 + np.abs(before))).all()


@settings(max_examples=50)
@given(groups())
def test_flipping_does_not_change_the_weights(case):
    weights, random, planes = case
    signs = random.choice([-1.0, 1.0], (*weights.shape[:2], planes, weights.shape[2]))
    coordinates = random.normal(0, 1, (*weights.shape[:2], planes))
    flipped, positive = basis.flip_negative(signs, coordinates)
    assert (np.asarray(positive) >= 0).all()
    assert np.allclose(basis.reconstruct(flipped, positive), (signs * coordinates[..., None]).sum(-2))


def test_refit_that_turns_negative_flips_its_basis():
    """First fault of the public reference code: the flip gets lost when a tensor is not contiguous."""
    signs = np.array([[[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, -1.0]]])
    weights = np.array([[3.0, 3.0, 3.0, 5.0]])  # = 4 * first - 1 * second
    transposed = np.asfortranarray(signs)
    new_signs, coordinates = basis.refit(
        transposed, np.ones((1, 2)), weights, np.zeros((1, 4)), np.ones((1, 4)), ridge=1e-12
    )
    assert np.allclose(coordinates, [[4, 1]])
    assert np.asarray(new_signs)[0, 1].tolist() == [-1, -1, -1, 1]
    assert np.allclose(basis.reconstruct(new_signs, coordinates), weights)


def test_ranking_uses_only_live_coordinates():
    """Second fault of the public reference code: it reads the wrong entries when it ranks masked coordinates."""
    coordinates = np.array([[0.0, 0.5, 0.0, 0.7], [0.2, 0.0, 0.9, 0.0]])
    scores = np.array([[-9.0, 3.0, -9.0, 1.0], [2.0, -9.0, 4.0, -9.0]])  # pruned entries would rank first
    assert basis.prune(coordinates, scores, 2).tolist() == [[0, 0.5, 0, 0], [0, 0, 0.9, 0]]


def test_a_plane_that_harms_goes_the_sooner_the_more_it_saves():
    """By the quotient alone the last of these would go before the first: -2 / 100 is more than -1 / 10."""
    scores, saved = np.array([-2.0, -2.0, -1.0, 1.0, 1.0, 0.0]), np.array([100, 10, 10, 100, 10, 10])
    assert np.argsort(basis.preference(scores, saved), kind="stable").tolist() == [0, 1, 2, 5, 3, 4]


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(1, 500)), min_size=2, max_size=8))
def test_less_loss_and_more_saved_never_go_later(planes):
    scores, saved = (np.array(column, float) for column in zip(*planes, strict=True))
    order = basis.preference(scores, saved)
    for i, j in itertools.permutations(range(len(planes)), 2):
        if scores[i] <= scores[j] and saved[i] >= saved[j]:
            assert order[i] <= order[j]


def test_a_group_without_planes_is_zero():
    signs, ones = np.ones((2, 1, 3, 4)), np.ones((2, 1, 4))
    assert not np.asarray(basis.reconstruct(signs, np.zeros((2, 1, 3)))).any()
    kept, coordinates = basis.refit(signs, np.zeros((2, 1, 3)), ones, ones, ones)
    assert not np.asarray(coordinates).any()
    assert not np.asarray(basis.reconstruct(kept, coordinates)).any()


@settings(max_examples=50)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.sampled_from(basis.GROUPINGS), st.data())
def test_grouping_round_trip(taps, channels, filters, grouping, data):
    divisors = [d for d in range(1, taps * channels + 1) if taps * channels % d == 0]
    subchannels = data.draw(st.sampled_from(divisors))
    kernel = np.arange(taps * channels * filters, dtype=np.float32).reshape(taps, channels, filters)
    grouped = basis.to_groups(kernel, grouping, subchannels)
    assert grouped.shape[:2] == (filters, basis.groups_per_filter(kernel.shape, grouping, subchannels))
    assert np.array_equal(basis.from_groups(grouped, kernel.shape, grouping), kernel)


def test_groups_hold_what_their_names_say():
    kernel = np.arange(12).reshape(3, 2, 2)  # tap, channel, filter
    assert np.asarray(basis.to_groups(kernel, "kernelwise"))[0, 1].tolist() == kernel[:, 1, 0].tolist()
    assert np.asarray(basis.to_groups(kernel, "pixelwise"))[1, 2].tolist() == kernel[2, :, 1].tolist()
    assert np.asarray(basis.to_groups(kernel, "channelwise"))[1, 0].tolist() == kernel[:, :, 1].reshape(-1).tolist()
    assert (
        np.asarray(basis.to_groups(kernel, "subchannels", 2))[0, 1].tolist() == kernel[..., 0].reshape(-1)[3:].tolist()
    )


@pytest.mark.parametrize(("grouping", "subchannels"), [("rowwise", 1), ("subchannels", 4), ("subchannels", 0)])
def test_bad_groupings(grouping, subchannels):
    with pytest.raises(ValueError, match=r"must (be one of|divide)"):
        basis.groups_per_filter((3, 2, 4), grouping, subchannels)
