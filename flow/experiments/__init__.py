"""Experiments whose figures are published: cross-validation, abstention, hardware."""
