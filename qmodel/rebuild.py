"""Build a Keras model anew from the graph of another one, operation by operation."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.ops import numpy as keras_numpy

from qmodel.arrays import Array
from qmodel.graph import Graph, Step, graph_of


class Rebuild:
    """Walks a model's graph and calls, for every step, layers of a new model.

    A subclass overrides `take`, which gets a step and what this class holds for its inputs and returns what it holds
    for the output; the plain one holds Keras tensors and clones layers with their weights.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.graph: Graph = graph_of(model)
        self.names: set[str] = set()

    def name(self, wanted: str) -> str:
        """A layer name that no layer has yet."""
        name, number = wanted, 1
        while name in self.names:
            name, number = f"{wanted}_{number}", number + 1
        self.names.add(name)
        return name

    def begin(self, tensor: Array) -> Any:
        """What is held for the input."""
        return tensor

    def end(self, held: Any) -> Array:
        """The Keras tensor of what is held for the output."""
        return held

    def take(self, step: Step, held: list) -> Any:
        """What is held for the output of a step."""
        return self.clone(step, held)

    def clone(self, step: Step, tensors: list) -> Any:
        """The same operation on new tensors."""
        operation = step.operation
        if isinstance(operation, keras_numpy.Add) and len(tensors) == 2:
            return keras.layers.Add(name=self.name(step.name))(tensors)
        if not isinstance(operation, keras.layers.Layer):
            args, kwargs = step.call.fill_in(dict(zip(map(id, step.call.keras_tensors), tensors)))
            return operation(*args, **kwargs)
        layer = type(operation).from_config({**operation.get_config(), "name": self.name(step.name)})
        args, kwargs = step.call.fill_in(dict(zip(map(id, step.call.keras_tensors), tensors)))
        output = layer(*args, **kwargs)
        layer.set_weights(operation.get_weights())
        layer.trainable = operation.trainable
        return output

    def build(self) -> keras.Model:
        """The new model."""
        start = keras.Input(self.graph.shape, name=self.name(self.model.inputs[0].name))
        held = {0: self.begin(start)}
        for step in self.graph.steps:
            if step.output not in held:
                held[step.output] = self.take(step, [held[i] for i in step.inputs])
                self.also(step, held)
        return keras.Model(start, self.end(held[self.graph.output]), name=self.model.name)

    def also(self, step: Step, held: dict) -> None:
        """Fill in what a step did for steps behind it."""
