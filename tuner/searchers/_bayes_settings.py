"""The settings of Bayesian optimisation, which a sweep's searcher and the sampler for Optuna share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuner.spec import Count, Spec


class BayesSettings(Spec):
    """The model, what it is asked for, and what comes before it."""

    surrogate: Literal["gp", "rf"] = Field(
        default="gp",
        description="the model of the objective. gp: Gaussian process, for smooth objectives and up to some "
        "hundred trials; rf: random forest, for many categories, conditions or trials",
    )
    acquisition: Literal["ei", "logei", "pi", "ucb"] = Field(
        default="logei",
        description="the function that the next trial maximises. ei: expected improvement; logei: its "
        "logarithm; pi: probability of improvement; ucb: optimistic confidence bound",
    )
    initial: Count = Field(default=10, description="number of trials that end before the model is used")
    initial_design: Literal["sobol", "random"] = Field(
        default="sobol",
        description="how trials are drawn before the model is used. sobol: quasi-random sequence; random: "
        "independent draws",
    )
