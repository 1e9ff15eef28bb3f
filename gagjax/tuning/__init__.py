"""Hyperparameters from data: losses, gradient fits, EM, Pareto fronts of jitter against lag, and validation."""

from gagjax.tuning import losses
from gagjax.tuning.batching import Clip, batch
from gagjax.tuning.constraints import constrain, trainable_leaves, unconstrain
from gagjax.tuning.em import em as expectation_maximisation
from gagjax.tuning.optimise import FitResult, fit
from gagjax.tuning.pareto import Front, front, grid, plot
from gagjax.tuning.validate import CrossValidation, Interval, bootstrap, cross_validate

__all__ = [
    "Clip",
    "CrossValidation",
    "FitResult",
    "Front",
    "Interval",
    "batch",
    "bootstrap",
    "constrain",
    "cross_validate",
    "expectation_maximisation",
    "fit",
    "front",
    "grid",
    "losses",
    "plot",
    "trainable_leaves",
    "unconstrain",
]
