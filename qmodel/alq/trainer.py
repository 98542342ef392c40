"""Rounds of the ALQ moves over a whole model until a budget is met, then the straight-through finish.

One round is: bases for some epochs, coordinates for some epochs, prune for one; see `Schedule`. Between steps the
kernels lie on the grid of their coordinates, so every forward pass is an ordinary convolution.
Source: CVPR 2020 paper (arXiv 1912.08883), Section 5.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from qmodel.alq import basis, steps
from qmodel.alq.layers import ALQLayer, alq_layers, kernels_on_grid
from qmodel.alq.steps import Moments
from qmodel.arrays import Array
from qmodel.errors import InputError
from qmodel.frozen import stored_bits
from qmodel.hyperparameters import PRESETS, Schedule
from qmodel.training import accuracy, cross_entropy, digest, epoch_random, run_epochs, smooth
from qmodel.training_data import PlainSet, TrainingSet

ASSUMED_BIAS_BITS = 18  # until the normalisation is folded into biases; most frozen ones need fewer
ASSUMED_COORDINATE_BITS = 8  # of coordinates that still are floating point
FILE_OVERHEAD_BYTES = 16  # magic, version, input, number of layers, CRC-32
LAYER_OVERHEAD_BYTES = 19  # sizes and formats of a plane layer and of the pool behind it
Teacher = Callable  # (inputs, training=False) -> logits (batch, class): a model, or several as one
BUDGET_UNITS = ("bytes", "average_bits")
PRICES = ("bytes", "cycles")
AVERAGE_REFITS = 3  # of signs and coordinates in turn, when averaged weights are quantised: more change nothing
ENGINE_LANES = 64  # weights that an engine of about the shipped cores' width takes per cycle: what a plane costs there


@dataclass(frozen=True)
class Budget:
    """What pruning aims for: `bytes` of the frozen file or `average_bits` per weight, over all layers or per layer.

    Args:
        unit: bytes or average_bits; total: for the whole model; per_layer: layer name -> its own limit instead.
        price: what a plane costs, by which its worth to the loss is divided: `bytes`, the bits that it takes in the
            file (sign bits alone if the unit is average_bits), or `cycles`, those that an engine of ENGINE_LANES lanes
            works on it per window.
    Raises: InputError: unknown unit or price, or neither or both limits.
    """

    unit: str
    total: float | None = None
    per_layer: dict[str, float] = field(default_factory=dict)
    price: str = "bytes"

    def __post_init__(self) -> None:
        if self.unit not in BUDGET_UNITS:
            raise InputError(f"a budget's unit must be one of {', '.join(BUDGET_UNITS)}, received {self.unit!r}")
        if self.price not in PRICES:
            raise InputError(f"a budget's price must be one of {', '.join(PRICES)}, received {self.price!r}")
        if (self.total is None) == (not self.per_layer):
            raise InputError("a budget needs either a total or limits per layer")


class LayerState:
    """One ALQ layer and what the moves keep for it: latent weights and their mean, signs, moments in both domains."""

    def __init__(self, layer: ALQLayer) -> None:
        self.layer = layer
        self.shape = tuple(layer.kernel.shape)
        self.quantizer = layer.quantizer
        grouped = self.group(layer.kernel)
        planes = layer.coordinates.shape[-1]

        def zeros(shape: tuple[int, ...], name: str) -> keras.Variable:
            return keras.Variable(np.zeros(shape, np.float32), trainable=False, name=f"{layer.name}_{name}")

        self.bias_width = keras.Variable(np.int32(ASSUMED_BIAS_BITS), trainable=False, name=f"{layer.name}_bias_width")
        weights, coordinates = tuple(grouped.shape), tuple(layer.coordinates.shape)
        self.latent = zeros(weights, "latent")
        self.mean_latent = zeros(weights, "mean_latent")
        self.latent_coordinates = zeros(coordinates, "latent_coordinates")
        self.signs = zeros((*weights[:2], planes, weights[2]), "signs")
        self.weight_moments = Moments(*(zeros(weights, f"weight_{part}") for part in Moments._fields))
        self.coordinate_moments = Moments(*(zeros(coordinates, f"coordinate_{part}") for part in Moments._fields))

    @property
    def variables(self) -> list:
        """Everything that a checkpoint must hold besides the layer's own weights."""
        own = [self.latent, self.mean_latent, self.latent_coordinates, self.signs]
        return [*own, self.bias_width, *self.weight_moments, *self.coordinate_moments]

    @property
    def bias_bits(self) -> int:
        """Bits of every bias in the frozen file, as last counted."""
        return int(self.bias_width.value)

    @property
    def group_size(self) -> int:
        """Weights per group."""
        return self.latent.shape[-1]

    def group(self, kernel: Array) -> Array:
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

    @property
    def output_steps(self) -> int:
        """Positions of a window at which the layer computes: time steps of a convolution, 1 of a dense layer."""
        return int(np.prod(self.layer.output.shape[1:-1]))

    def plane_bits(self, unit: str) -> int:
        """Bits that a plane of this layer takes: in the file, or of signs alone if the unit is average_bits."""
        if unit == "average_bits":
            return self.group_size
        return self.group_size + (self.quantizer.coordinate_bits or ASSUMED_COORDINATE_BITS)

    def plane_cycles(self) -> int:
        """Cycles per window that an engine of ENGINE_LANES lanes works on a plane of this layer."""
        return self.output_steps * math.ceil(self.group_size / ENGINE_LANES)

    def stored_bits(self) -> int:
        """Bits of this layer in the frozen file."""
        bits = self.quantizer.coordinate_bits or ASSUMED_COORDINATE_BITS
        return stored_bits(self.plane_counts(), self.group_size, bits, self.bias_bits)


def model_bytes(states: list[LayerState]) -> int:
    """Size of the model's frozen file from its live planes; not less, if biases need no more bits than counted."""
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
        bias_bits: model -> bits per bias in the frozen file, by layer, asked before planes are pruned to a budget in
            bytes; None: ASSUMED_BIAS_BITS.
        loss: (targets, outputs) -> a number; None: cross entropy of logits against class probabilities, smoothed.
    Layers with `trainable=False` stay as they are, and the model's own losses (regularisers) are added.
    Raises: InputError: a model without ALQ layers, not built, or ending in a softmax; a budget that names a layer the
        model does not have.
    Example: `ALQTrainer(model, PRESETS["paper"], Budget("average_bits", 1.25)).fit(data, validation, folder)`
    """

    def __init__(
        self,
        model: keras.Model,
        schedule: Schedule = PRESETS["default"],
        budget: Budget | None = None,
        teacher: Teacher | None = None,
        sketch: bool = True,
        bias_bits: Callable[[keras.Model], dict[str, int]] | None = None,
        loss: Callable | None = None,
    ) -> None:
        layers = alq_layers(model)
        if not layers:
            raise InputError("the model has no ALQConv1D or ALQDense layer: build it with `alq` quantizers")
        if not all(layer.built for layer in layers):
            raise InputError(f"{model.name} has no weights yet: call it once, or begin it with keras.Input")
        if loss is None and _ends_in_softmax(model):
            raise InputError(
                f"{model.name} ends in a softmax, but is trained on logits: leave the softmax out (the order is the "
                "same), or give a loss of your own"
            )
        unknown = set(budget.per_layer if budget else ()) - {layer.name for layer in layers}
        if unknown:
            raise InputError(f"the budget names layers {sorted(unknown)}; the model has {[x.name for x in layers]}")
        self.model, self.schedule, self.budget, self.loss = model, schedule, budget, loss
        self.teacher = _compiled(teacher) if schedule.distillation and teacher is not None else None
        self._bias_bits = bias_bits
        if sketch:
            for layer in layers:
                if layer.trainable:
                    layer.sketch()
        for layer in layers:
            layer.check_planes()
        self.states = [LayerState(layer) for layer in layers]
        self.trained = [state for state in self.states if state.layer.trainable]
        if not self.trained:
            raise InputError(f"no ALQ layer of {model.name} is trainable")
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
        on_epoch: Callable[[int, dict], object] | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> list[dict]:
        """Run the schedule; resume where a killed run with the same model, data and settings stopped.

        Args: validation: inputs and labels, only reported, or None; folder: where the checkpoint lives;
            on_epoch: called with (epoch number, metrics) after each epoch, for live plots;
            callbacks: Keras' own, told of the beginning and end of training and of every epoch; one that sets
            `model.stop_training` ends the run after its epoch.
        Returns: metrics of every epoch: loss, average bits, bytes, validation accuracy, mean planes
            per group of every layer.
        """
        plan = self.schedule.phases()
        told = keras.callbacks.CallbackList(list(callbacks), model=self.model, epochs=len(plan))
        self.model.stop_training = False

        def epoch(number: int) -> dict:
            told.on_epoch_begin(number)
            metrics = self._epoch(number, plan, data, seed)
            if validation:
                metrics["validation"] = self._accuracy(validation)
            if on_epoch:
                on_epoch(number, metrics)
            told.on_epoch_end(number, {k: v for k, v in metrics.items() if isinstance(v, (int, float))})
            return metrics

        settings = {
            "schedule": asdict(self.schedule),
            "budget": asdict(self.budget) if self.budget else None,
            "seed": seed,
            "layers": [[*state.shape, *state.layer.coordinates.shape] for state in self.states],
            "quantizers": [state.quantizer.get_config() for state in self.states],
            "trained": [state.layer.name for state in self.trained],
            "teacher": self.teacher is not None,
            # What the run starts from and learns from: with other weights or data it is another run.
            "start": digest(ops.convert_to_numpy(variable) for variable in self.model.variables),
            "data": digest(data.arrays),
        }
        told.on_train_begin()
        history = run_epochs(
            len(plan), epoch, self.variables, folder, settings, label, stop=lambda: self.model.stop_training
        )
        told.on_train_end()
        return history

    def _accuracy(self, validation: tuple[np.ndarray, np.ndarray]) -> float:
        with kernels_on_grid(state.layer for state in self.states):
            return accuracy(self.model, *validation)

    def _epoch(self, number: int, plan: list[tuple[str, float]], data: TrainingSet | PlainSet, seed: int) -> dict:
        move, rate = plan[number]
        if number == 0 or plan[number - 1][0] != move:
            for state in self.states:
                state.begin()
            self.step_number.assign(0.0)
        paid: dict[str, list[float]] = {state.layer.name: [] for state in self.states}
        if move == "prune":
            self._count_bias_bits()
        quota = self._prune_quota(number, plan, data) if move == "prune" else 0.0
        self.optimiser.learning_rate.assign(rate)
        losses, owed = [], 0.0
        for batch in data.epoch(epoch_random(seed, number), self.schedule.batch):
            inputs, targets = tf.constant(batch.inputs), self._targets(batch)
            losses.append(self._step(move)(inputs, targets, tf.constant(rate, tf.float32)))
            if move == "prune":
                owed += quota * sum(int(state.plane_counts().sum()) for state in self.states)
                owed -= self._prune(int(owed), rate, paid)
        if move == "prune" and all(later != "prune" for later, _ in plan[number + 1 :]):
            self._count_bias_bits()
            self._meet_budget(rate, paid)
        finished = sum(later == "straight_through" for later, _ in plan[number + 1 :])
        if move == "straight_through" and finished < self.schedule.average:
            self._average(self.schedule.average - finished, rate)
        return {
            "loss": float(np.mean(losses)),
            "bits": average_bits(self.states),
            "bytes": model_bytes(self.states),
            "planes": {state.layer.name: float(state.plane_counts().mean()) for state in self.states},
            "pruned": {name: len(scores) for name, scores in paid.items()},
            "paid": {name: float(sum(scores)) for name, scores in paid.items()},
        }

    def _targets(self, batch: Any) -> Array:
        """Class probabilities (batch, class) that a step learns: smoothed, the teacher's mixed in."""
        if self.loss is not None:
            return tf.constant(batch.targets, tf.float32)
        targets = smooth(batch.targets, self.schedule.label_smoothing)
        if self.teacher is not None:
            taught = ops.convert_to_numpy(ops.softmax(self.teacher(batch.inputs, training=False)))
            targets = (1 - self.schedule.distillation) * targets + self.schedule.distillation * taught
        return tf.constant(targets, tf.float32)

    def _average(self, number: int, rate: float) -> None:
        """Take the latent weights of the `number`-th averaged epoch into their mean; after the last, quantise that."""
        for state in self.states:
            state.mean_latent.assign(state.mean_latent + (state.latent - state.mean_latent) / number)
            if number == self.schedule.average:
                _, hessian = steps.quadratic_model(state.weight_moments, self.step_number.value, rate)
                still = ops.zeros_like(hessian)
                coordinates = state.layer.coordinates.value
                for _ in range(AVERAGE_REFITS):
                    latent, signs, coordinates = steps.straight_through(
                        state.mean_latent.value, coordinates, still, hessian
                    )
                state.latent.assign(latent)
                state.layer.set_planes(signs, coordinates)

    def _count_bias_bits(self) -> None:
        """Ask how many bits the biases take in the frozen file."""
        if self._bias_bits is not None:
            bits = self._bias_bits(self.model)
            for state in self.states:
                state.bias_width.assign(bits[state.layer.name])

    # Pruning ------------------------------------------------------------------------------------------------------

    def _size_and_limit(self, state: LayerState | None = None) -> tuple[float, float | None]:
        """Size of the model (or one layer) and its limit in the budget's unit."""
        if state is None:
            value = model_bytes(self.states) if self.budget.unit == "bytes" else average_bits(self.states)
            return value, self.budget.total
        value = state.stored_bits() / 8 if self.budget.unit == "bytes" else average_bits([state])
        return value, self.budget.per_layer.get(state.layer.name)

    def _excess(self, state: LayerState | None = None) -> float:
        """How far the model (or one layer) is above its limit, as a share of what it has; 0 without a limit."""
        value, limit = self._size_and_limit(state)
        return max(0.0, 1 - limit / value) if limit is not None and value else 0.0

    def _excess_bits(self, state: LayerState) -> float:
        """Bits by which the model, or this layer if layers have limits of their own, is above its limit."""
        whole = self.budget.total is not None
        value, limit = self._size_and_limit(None if whole else state)
        if limit is None:
            return 0.0
        if self.budget.unit == "bytes":
            return 8 * (value - limit)
        return (value - limit) * sum(int(np.prod(each.shape)) for each in (self.states if whole else [state]))

    def _over_budget(self) -> list[LayerState]:
        """Layers that pruning may take planes from."""
        if self.budget is None:
            return []
        if self.budget.total is not None:
            return self.trained if self._excess() > 0 else []
        return [state for state in self.trained if self._excess(state) > 0]

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

    def _meet_budget(self, rate: float, paid: dict[str, list[float]]) -> None:
        """Prune what the last prune epoch still owes. Raises: InputError: a budget below what no planes would take."""
        while self._over_budget():
            if not self._prune(1, rate, paid):
                raise InputError(
                    f"the budget {self.budget} cannot be met: without any plane the model takes "
                    f"{model_bytes(self.states)} bytes; allow more, or build a smaller network"
                )

    def _prune(self, number: int, rate: float, paid: dict[str, list[float]]) -> int:
        """Remove up to `number` planes over all layers, by `basis.preference`; what each costs the loss goes to `paid`.

        Args: paid: layer name -> modelled loss changes of its planes removed so far, added to.
        """
        if number < 1:
            return 0
        candidates = []
        for state in self._over_budget():
            coordinates = ops.convert_to_numpy(state.layer.coordinates)
            moments = Moments(*(ops.convert_to_numpy(m) for m in state.coordinate_moments))
            gradient, hessian = steps.quadratic_model(moments, float(self.step_number.value), rate)
            scores = ops.convert_to_numpy(basis.importance(coordinates, gradient, hessian)).reshape(-1)
            live = np.flatnonzero(coordinates)
            considered = live[np.argsort(scores[live], kind="stable")[: max(1, int(len(live) * self.schedule.top_k))]]
            price = state.plane_cycles() if self.budget.price == "cycles" else state.plane_bits(self.budget.unit)
            order = basis.preference(scores[considered], price)
            candidates += [(float(first), state, i, float(scores[i])) for first, i in zip(order, considered)]
        candidates.sort(key=lambda candidate: candidate[0])
        left = {state: self._excess_bits(state) for state in self.states}  # of each layer, or of all alike
        gone: dict[LayerState, list[int]] = {}
        for _, state, place, score in candidates[:number]:
            if left[state] <= 0:
                continue
            for sharing in self.states if self.budget.total is not None else [state]:
                left[sharing] -= state.plane_bits(self.budget.unit)
            gone.setdefault(state, []).append(place)
            paid[state.layer.name].append(score)
        for state, places in gone.items():
            coordinates = ops.convert_to_numpy(state.latent_coordinates).copy()
            coordinates.reshape(-1)[places] = 0
            state.latent_coordinates.assign(coordinates)
            state.layer.set_planes(state.signs.value, coordinates)
        return sum(map(len, gone.values()))

    # Compiled training steps --------------------------------------------------------------------------------------

    def _step(self, move: str) -> Callable[..., Array]:
        """The compiled training step of a move: (inputs, targets, learning rate) -> loss."""
        update = {
            "bases": self._bases,
            "coordinates": self._coordinates,
            "prune": self._coordinates,  # what is left adapts while planes go
            "straight_through": self._straight_through,
        }[move]
        if update not in self._compiled:

            @tf.function(jit_compile=True)
            def step(inputs: Array, targets: Array, rate: Array) -> Array:
                loss, gradients = self._loss_and_gradients(inputs, targets)
                self.step_number.assign_add(1.0)
                for state, gradient in zip(self.trained, gradients, strict=True):
                    update(state, state.group(gradient), self.step_number.value, rate)
                return loss

            self._compiled[update] = step
        return self._compiled[update]

    def _loss_and_gradients(self, inputs: Array, targets: Array) -> tuple[Array, list[Array]]:
        """Loss and kernel gradients; steps all other trainable weights."""
        kernels = [state.layer.kernel.value for state in self.trained]
        with kernels_on_grid(state.layer for state in self.states), tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            loss = cross_entropy(targets, outputs) if self.loss is None else ops.mean(self.loss(targets, outputs))
            loss += sum(self.model.losses)  # regularisers
        others = [v.value for v in self.others]
        gradients = tape.gradient(loss, kernels + others, unconnected_gradients="zero")
        if self.others:
            self.optimiser.apply_gradients(zip(gradients[len(kernels) :], self.others, strict=True))
        return loss, gradients[: len(kernels)]

    @staticmethod
    def _bases(state: LayerState, gradient: Array, number: Array, rate: Array) -> None:
        moments = steps.update_moments(state.weight_moments, gradient)
        state.remember(state.weight_moments, moments)
        weights, coordinates = state.group(state.layer.kernel), state.layer.coordinates.value
        state.layer.set_planes(
            *steps.optimise_bases(weights, coordinates, *steps.quadratic_model(moments, number, rate))
        )

    @staticmethod
    def _coordinates(state: LayerState, gradient: Array, number: Array, rate: Array) -> None:
        moments = steps.update_moments(state.coordinate_moments, basis.coordinate_gradient(state.signs.value, gradient))
        coordinates, moments, flips = steps.optimise_coordinates(state.latent_coordinates.value, moments, number, rate)
        state.remember(state.coordinate_moments, moments)
        state.latent_coordinates.assign(coordinates)
        state.signs.assign(state.signs.value * flips[..., None])
        state.layer.set_planes(state.signs.value, coordinates)

    @staticmethod
    def _straight_through(state: LayerState, gradient: Array, number: Array, rate: Array) -> None:
        moments = steps.update_moments(state.weight_moments, gradient)
        state.remember(state.weight_moments, moments)
        latent, signs, coordinates = steps.straight_through(
            state.latent.value, state.layer.coordinates.value, *steps.quadratic_model(moments, number, rate)
        )
        state.latent.assign(latent)
        state.layer.set_planes(signs, coordinates)


def _compiled(teacher: Teacher) -> Teacher:
    """A model as one compiled function; anything else as it is, it may remember its answers."""
    if not isinstance(teacher, keras.Model):
        return teacher
    return tf.function(lambda inputs, training: teacher(inputs, training=training), jit_compile=True)


def _ends_in_softmax(model: keras.Model) -> bool:
    """Whether a softmax makes one of the model's outputs."""
    for output in getattr(model, "outputs", None) or ():
        operation = output._keras_history.operation
        activation = getattr(operation, "activation", None)
        if isinstance(operation, keras.layers.Softmax) or activation is keras.activations.softmax:
            return True
    return False
