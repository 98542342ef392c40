"""Rounds of the ALQ moves over a whole model until a budget is met, then the straight-through finish.

One round is: bases for some epochs, coordinates for some epochs, prune for one; see `Schedule`. Between steps the
kernels lie on the grid of their coordinates, so every forward pass is an ordinary convolution.
Source: CVPR 2020 paper (arXiv 1912.08883), Section 5.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from qmodel.alq import basis, steps
from qmodel.alq.layers import alq_layers
from qmodel.alq.steps import Moments
from qmodel.errors import InputError
from qmodel.frozen import stored_bits
from qmodel.hyperparameters import PRESETS, Schedule
from qmodel.training import accuracy, cross_entropy, epoch_random, run_epochs, smooth
from qmodel.training_data import PlainSet, TrainingSet

ASSUMED_BIAS_BITS = 18  # until the normalisation is folded into biases; most frozen ones need fewer
ASSUMED_COORDINATE_BITS = 8  # of coordinates that still are floating point
FILE_OVERHEAD_BYTES = 16  # magic, version, input, number of layers, CRC-32
LAYER_OVERHEAD_BYTES = 20  # sizes and formats of a plane layer and of the pool behind it
Teacher = Callable  # (inputs, training=False) -> logits (batch, class): a model, or several as one
BUDGET_UNITS = ("bytes", "average_bits")


@dataclass(frozen=True)
class Budget:
    """What pruning aims for: `bytes` of the frozen file or `average_bits` per weight, over all layers or per layer.

    Args: unit: bytes or average_bits; total: for the whole model; per_layer: layer name -> its own limit instead.
    Raises: InputError: unknown unit, or neither or both limits.
    """

    unit: str
    total: float | None = None
    per_layer: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        if self.unit not in BUDGET_UNITS:
            raise InputError(f"a budget's unit must be one of {', '.join(BUDGET_UNITS)}, received {self.unit!r}")
        if (self.total is None) == (not self.per_layer):
            raise InputError("a budget needs either a total or limits per layer")


class LayerState:
    """One ALQ layer and what the moves keep for it: latent weights, signs, moments in both domains."""

    def __init__(self, layer):
        self.layer = layer
        self.shape = tuple(layer.kernel.shape)
        self.quantizer = layer.quantizer
        grouped = self.group(layer.kernel)
        planes = layer.coordinates.shape[-1]

        def zeros(shape, name):
            return keras.Variable(np.zeros(shape, np.float32), trainable=False, name=f"{layer.name}_{name}")

        weights, coordinates = tuple(grouped.shape), tuple(layer.coordinates.shape)
        self.latent = zeros(weights, "latent")
        self.latent_coordinates = zeros(coordinates, "latent_coordinates")
        self.signs = zeros((*weights[:2], planes, weights[2]), "signs")
        self.weight_moments = Moments(*(zeros(weights, f"weight_{part}") for part in Moments._fields))
        self.coordinate_moments = Moments(*(zeros(coordinates, f"coordinate_{part}") for part in Moments._fields))

    @property
    def variables(self) -> list:
        """Everything that a checkpoint must hold besides the layer's own weights."""
        own = [self.latent, self.latent_coordinates, self.signs]
        return [*own, *self.weight_moments, *self.coordinate_moments]

    @property
    def group_size(self) -> int:
        """Weights per group."""
        return self.latent.shape[-1]

    def group(self, kernel):
        """A kernel-shaped tensor as (filter, group, weight)."""
        return basis.to_groups(ops.convert_to_tensor(kernel), self.quantizer.grouping, self.quantizer.subchannels)

    def begin(self) -> None:
        """Start a phase from the layer as it is: its grid becomes latent weights and signs, moments restart."""
        weights = self.group(self.layer.kernel)
        self.latent.assign(weights)
        self.latent_coordinates.assign(self.layer.coordinates.value)
        self.signs.assign(basis.nearest_signs(weights, self.layer.coordinates.value))
        for moment in (*self.weight_moments, *self.coordinate_moments):
            moment.assign(ops.zeros_like(moment))

    def remember(self, moments: Moments, new: Moments) -> None:
        """Assign moments."""
        for variable, value in zip(moments, new, strict=True):
            variable.assign(value)

    def plane_counts(self) -> np.ndarray:
        """Live planes of every group, shape (filter, group)."""
        return (ops.convert_to_numpy(self.layer.coordinates) > 0).sum(-1)

    def stored_bits(self) -> int:
        """Bits of this layer in the frozen file."""
        bits = self.quantizer.coordinate_bits or ASSUMED_COORDINATE_BITS
        return stored_bits(self.plane_counts(), self.group_size, bits, ASSUMED_BIAS_BITS)


def model_bytes(states: list[LayerState]) -> int:
    """Size of the model's frozen file from its live planes; not less, if biases need no more than ASSUMED_BIAS_BITS."""
    bodies = sum(math.ceil(state.stored_bits() / 8) + LAYER_OVERHEAD_BYTES for state in states)
    return FILE_OVERHEAD_BYTES + bodies


def average_bits(states: list[LayerState]) -> float:
    """Sign bits per weight."""
    planes = sum(int(state.plane_counts().sum()) * state.group_size for state in states)
    return planes / sum(int(np.prod(state.shape)) for state in states)


class ALQTrainer:
    """Trains a model of `ALQConv1D` and `ALQDense` layers with the ALQ moves.

    Args:
        model: built, its kernels trained in floating point (or from an earlier stage).
        schedule: epochs and rates; budget: what pruning aims for, None: no pruning.
        teacher: its class probabilities are mixed into the targets by `schedule.distillation`; None: no teacher.
        sketch: start with move 1; False when the kernels already lie on their grids.
    Raises: InputError: a model without ALQ layers; a budget that names a layer the model does not have.
    Example: `ALQTrainer(model, PRESETS["paper"], Budget("average_bits", 1.25)).fit(data, validation, folder)`
    """

    def __init__(
        self,
        model: keras.Model,
        schedule: Schedule = PRESETS["default"],
        budget: Budget | None = None,
        teacher: Teacher | None = None,
        sketch: bool = True,
    ):
        layers = alq_layers(model)
        if not layers:
            raise InputError("the model has no ALQConv1D or ALQDense layer: build it with `alq` quantizers")
        unknown = set(budget.per_layer if budget else ()) - {layer.name for layer in layers}
        if unknown:
            raise InputError(f"the budget names layers {sorted(unknown)}; the model has {[x.name for x in layers]}")
        self.model, self.schedule, self.budget, self.teacher = model, schedule, budget, teacher
        if sketch:
            for layer in layers:
                layer.sketch()
        self.states = [LayerState(layer) for layer in layers]
        taken = {id(v) for layer in layers for v in (layer.kernel, layer.coordinates)}
        self.others = [v for v in model.trainable_variables if id(v) not in taken]  # normalisation and biases
        self.optimiser = keras.optimizers.Adam(schedule.learning_rate, amsgrad=True)
        self.optimiser.build(self.others)
        self.step_number = keras.Variable(np.float32(0), trainable=False, name="step_number")
        self._compiled: dict = {}

    @property
    def variables(self) -> list:
        """All state that training changes."""
        states = [v for state in self.states for v in state.variables]
        return [*self.model.variables, *self.optimiser.variables, self.step_number, *states]

    def fit(
        self,
        data: TrainingSet | PlainSet,
        validation: tuple[np.ndarray, np.ndarray] | None,
        folder: str | os.PathLike,
        seed: int = 0,
        label: str = "alq",
        on_epoch=None,
    ) -> list[dict]:
        """Run the schedule; resume where a killed run with the same settings stopped.

        Args: validation: inputs and labels, only reported, or None; folder: where the checkpoint lives;
            on_epoch: called with (epoch number, metrics) after each epoch, for live plots.
        Returns: metrics of every epoch: loss, average bits, bytes, validation accuracy, mean planes
            per group of every layer.
        """
        plan = self.schedule.phases()

        def epoch(number: int) -> dict:
            metrics = self._epoch(number, plan, data, seed)
            if validation:
                metrics["validation"] = self._accuracy(validation)
            if on_epoch:
                on_epoch(number, metrics)
            return metrics

        settings = {
            "schedule": asdict(self.schedule),
            "budget": asdict(self.budget) if self.budget else None,
            "seed": seed,
            "layers": [[*state.shape, *state.layer.coordinates.shape] for state in self.states],
        }
        return run_epochs(len(plan), epoch, self.variables, folder, settings, label)

    def _accuracy(self, validation) -> float:
        with _kernels_on_grid(self.states):
            return accuracy(self.model, *validation)

    def _epoch(self, number: int, plan: list[tuple[str, float]], data: TrainingSet | PlainSet, seed: int) -> dict:
        move, rate = plan[number]
        if number == 0 or plan[number - 1][0] != move:
            for state in self.states:
                state.begin()
            self.step_number.assign(0.0)
        quota = self._prune_quota(number, plan, data) if move == "prune" else 0.0
        self.optimiser.learning_rate.assign(rate)
        losses, owed = [], 0.0
        for batch in data.epoch(epoch_random(seed, number), self.schedule.batch):
            targets = tf.constant(smooth(batch.targets, self.schedule.label_smoothing))
            losses.append(self._step(move)(tf.constant(batch.inputs), targets, tf.constant(rate, tf.float32)))
            if move == "prune":
                owed += quota * sum(int(state.plane_counts().sum()) for state in self.states)
                owed -= self._prune(int(owed), rate)
        if move == "prune" and all(later != "prune" for later, _ in plan[number + 1 :]):
            self._meet_budget(rate)
        return {
            "loss": float(np.mean(losses)),
            "bits": average_bits(self.states),
            "bytes": model_bytes(self.states),
            "planes": {state.layer.name: float(state.plane_counts().mean()) for state in self.states},
        }

    # Pruning ------------------------------------------------------------------------------------------------------

    def _excess(self, state: LayerState | None = None) -> float:
        """How far the model (or one layer) is above its limit, as a share of what it has; 0 without a limit."""
        if state is None:
            limit = self.budget.total
            value = model_bytes(self.states) if self.budget.unit == "bytes" else average_bits(self.states)
        else:
            limit = self.budget.per_layer.get(state.layer.name)
            value = state.stored_bits() / 8 if self.budget.unit == "bytes" else average_bits([state])
        return max(0.0, 1 - limit / value) if limit is not None and value else 0.0

    def _over_budget(self) -> list[LayerState]:
        """Layers that pruning may take planes from."""
        if self.budget is None:
            return []
        if self.budget.total is not None:
            return self.states if self._excess() > 0 else []
        return [state for state in self.states if self._excess(state) > 0]

    def _prune_quota(self, number: int, plan: list[tuple[str, float]], data: TrainingSet) -> float:
        """Share of the live planes to prune after each step of this epoch."""
        batches = data.batches(self.schedule.batch)
        if self.schedule.prune_share is not None:
            return self.schedule.top_k * self.schedule.prune_share
        over = self._over_budget()
        if not over:
            return 0.0
        excess = self._excess() if self.budget.total is not None else max(self._excess(state) for state in over)
        left = sum(move == "prune" for move, _ in plan[number:])
        return 1 - (1 - excess) ** (1 / left / batches)

    def _meet_budget(self, rate: float) -> None:
        """Prune what the last prune epoch still owes. Raises: InputError: a budget below what no planes would take."""
        while self._over_budget():
            if not self._prune(1, rate):
                raise InputError(
                    f"the budget {self.budget} cannot be met: without any plane the model takes "
                    f"{model_bytes(self.states)} bytes; allow more, or build a smaller network"
                )

    def _prune(self, number: int, rate: float) -> int:
        """Remove up to `number` planes, the smallest modelled loss increase per bit saved first, over all layers."""
        candidates = []
        for state in self._over_budget():
            coordinates = ops.convert_to_numpy(state.layer.coordinates)
            moments = Moments(*(ops.convert_to_numpy(m) for m in state.coordinate_moments))
            gradient, hessian = steps.quadratic_model(moments, float(self.step_number.value), rate)
            scores = ops.convert_to_numpy(basis.importance(coordinates, gradient, hessian)).reshape(-1)
            live = np.flatnonzero(coordinates)
            considered = live[np.argsort(scores[live], kind="stable")[: max(1, int(len(live) * self.schedule.top_k))]]
            saved = state.group_size  # sign bits; per plane alone, layers of small groups would lose all of theirs
            if self.budget.unit == "bytes":
                saved += state.quantizer.coordinate_bits or ASSUMED_COORDINATE_BITS
            candidates += [(scores[i] / saved, state, i) for i in considered]
        candidates.sort(key=lambda candidate: candidate[0])
        removed = 0
        for _, state, place in candidates[:number]:
            if state not in self._over_budget():
                continue
            coordinates = ops.convert_to_numpy(state.latent_coordinates).copy()
            coordinates.reshape(-1)[place] = 0
            state.latent_coordinates.assign(coordinates)
            state.layer.set_planes(state.signs.value, coordinates)
            removed += 1
        return removed

    # Compiled training steps --------------------------------------------------------------------------------------

    def _step(self, move: str):
        """The compiled training step of a move: (inputs, targets, learning rate) -> loss."""
        update = {
            "bases": self._bases,
            "coordinates": self._coordinates,
            "prune": self._coordinates,  # what is left adapts while planes go
            "straight_through": self._straight_through,
        }[move]
        if update not in self._compiled:

            @tf.function(jit_compile=True)
            def step(inputs, targets, rate):
                loss, gradients = self._loss_and_gradients(inputs, targets)
                self.step_number.assign_add(1.0)
                for state, gradient in zip(self.states, gradients, strict=True):
                    update(state, state.group(gradient), self.step_number.value, rate)
                return loss

            self._compiled[update] = step
        return self._compiled[update]

    def _loss_and_gradients(self, inputs, targets):
        """Loss and kernel gradients; steps all other trainable weights."""
        if self.teacher is not None and self.schedule.distillation:
            share = self.schedule.distillation
            targets = (1 - share) * targets + share * ops.softmax(self.teacher(inputs, training=False))
        kernels = [state.layer.kernel.value for state in self.states]
        with _kernels_on_grid(self.states), tf.GradientTape() as tape:
            loss = cross_entropy(targets, self.model(inputs, training=True))
        others = [v.value for v in self.others]
        gradients = tape.gradient(loss, kernels + others)
        self.optimiser.apply_gradients(zip(gradients[len(kernels) :], self.others, strict=True))
        return loss, gradients[: len(kernels)]

    @staticmethod
    def _bases(state: LayerState, gradient, number, rate) -> None:
        moments = steps.update_moments(state.weight_moments, gradient)
        state.remember(state.weight_moments, moments)
        weights, coordinates = state.group(state.layer.kernel), state.layer.coordinates.value
        state.layer.set_planes(
            *steps.optimise_bases(weights, coordinates, *steps.quadratic_model(moments, number, rate))
        )

    @staticmethod
    def _coordinates(state: LayerState, gradient, number, rate) -> None:
        moments = steps.update_moments(state.coordinate_moments, basis.coordinate_gradient(state.signs.value, gradient))
        coordinates, moments, flips = steps.optimise_coordinates(state.latent_coordinates.value, moments, number, rate)
        state.remember(state.coordinate_moments, moments)
        state.latent_coordinates.assign(coordinates)
        state.signs.assign(state.signs.value * flips[..., None])
        state.layer.set_planes(state.signs.value, coordinates)

    @staticmethod
    def _straight_through(state: LayerState, gradient, number, rate) -> None:
        moments = steps.update_moments(state.weight_moments, gradient)
        state.remember(state.weight_moments, moments)
        latent, signs, coordinates = steps.straight_through(
            state.latent.value, state.layer.coordinates.value, *steps.quadratic_model(moments, number, rate)
        )
        state.latent.assign(latent)
        state.layer.set_planes(signs, coordinates)


class _kernels_on_grid:  # noqa: N801 - reads as a statement
    """Inside, the layers take their kernels as they are, since the trainer keeps them on the grid."""

    def __init__(self, states: list[LayerState]):
        self.states = states

    def __enter__(self):
        for state in self.states:
            state.layer.kernel_on_grid = True

    def __exit__(self, *_):
        for state in self.states:
            state.layer.kernel_on_grid = False
