"""The operations of a Keras model in the order in which they run, nested models opened up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import keras
from keras import ops
from keras.src.models.functional import Functional

from qmodel.arrays import Array
from qmodel.errors import InputError


@dataclass(frozen=True)
class Step:
    """One call of an operation.

    operation: a layer, or what Keras makes of `a + b`, slices and `keras.ops`; inputs: numbers of the tensors that it
    reads (Graph.run gives every number its value); output: number of the tensor that it makes; shape: of that, without
    the batch; call: its arguments.
    """

    operation: Any
    name: str
    inputs: tuple[int, ...]
    output: int
    shape: tuple[int, ...]
    call: Any

    @property
    def kind(self) -> str:
        """The operation's class, as a person would write it."""
        return type(self.operation).__name__

    def run(self, values: Sequence) -> Any:
        """What the operation gives in evaluation mode."""
        tensors = dict(zip(map(id, self.call.keras_tensors), values, strict=True))
        args, kwargs = self.call.fill_in(tensors)
        if getattr(self.operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": False}
        return self.operation(*args, **kwargs)


@dataclass(frozen=True)
class Graph:
    """The steps of a model in an order in which they can run; tensor 0 is its input, `output` its output."""

    steps: tuple[Step, ...]
    shape: tuple[int, ...]  # of the input, without the batch
    output: int

    def run(self, inputs: Array) -> dict[int, object]:
        """Values of all tensors in evaluation mode. Args: inputs: (batch, ...)."""
        values = {0: ops.convert_to_tensor(inputs)}
        for step in self.steps:
            values[step.output] = step.run([values[i] for i in step.inputs])
        return values

    def readers(self, tensor: int) -> list[Step]:
        """The steps that read a tensor."""
        return [step for step in self.steps if tensor in step.inputs]


def graph_of(model: keras.Model) -> Graph:
    """The graph of a functional or sequential model.

    Raises: InputError: a model without a graph, not one input or output, an input of unknown length.
    """
    inner = _functional(model)
    if len(inner.inputs) != 1 or len(inner.outputs) != 1:
        raise InputError(
            f"{model.name}: a network has one input and one output, received {len(inner.inputs)} and "
            f"{len(inner.outputs)}: make a keras.Model of those that the core shall have (several signals of one rate "
            "are channels of one input)"
        )
    shape = tuple(inner.inputs[0].shape[1:])
    if not 1 <= len(shape) <= 2 or None in shape:
        raise InputError(
            f"{model.name}: an input has shape (time, channel) or (feature,) of known sizes, received {shape}: build "
            "the model with keras.Input((time, channel)), its weights can be copied"
        )
    numbers = count(1)
    steps: list[Step] = []
    output = _walk(inner, [0], steps, numbers)[0]
    return Graph(tuple(steps), tuple(int(size) for size in shape), output)


def _functional(model: keras.Model) -> Functional:
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise InputError(
                f"{model.name}: the model has no input shape yet: begin it with keras.Input((time, channel))"
            )
        return model._functional
    if not isinstance(model, Functional):
        raise InputError(
            f"{model.name}: a subclassed model has no graph to follow: write it with the functional API or Sequential"
        )
    return model


def _walk(model: Functional, entering: list[int], steps: list[Step], numbers: Iterator[int]) -> list[int]:
    """Append the steps of a model whose inputs have the numbers `entering`; returns the numbers of its outputs."""
    known = {id(tensor): number for tensor, number in zip(model.inputs, entering, strict=True)}

    def number_of(tensor: Array) -> int:
        # Depth first without recursion: models may be deep.
        pending = [tensor]
        while pending:
            tensor = pending[-1]
            if id(tensor) in known:
                pending.pop()
                continue
            operation, index = tensor._keras_history.operation, tensor._keras_history.node_index
            node = operation._inbound_nodes[index]
            sources = node.arguments.keras_tensors
            if not sources:
                raise InputError(f"{operation.name}: the model's output does not depend on its input alone")
            missing = [source for source in sources if id(source) not in known]
            if missing:
                pending += missing
                continue
            inputs = tuple(known[id(source)] for source in sources)
            if isinstance(operation, (Functional, keras.Sequential)):
                made = _walk(_functional(operation), list(inputs), steps, numbers)
            elif len(node.output_tensors) != 1:
                raise InputError(f"{operation.name}: {type(operation).__name__} gives several tensors, possible is one")
            else:
                made = [next(numbers)]
                shape = tuple(node.output_tensors[0].shape[1:])
                steps.append(Step(operation, operation.name, inputs, made[0], shape, node.arguments))
            for output, number in zip(node.output_tensors, made, strict=True):
                known[id(output)] = number
            pending.pop()
        return known[id(tensor)]

    return [number_of(tensor) for tensor in model.outputs]
