"""Settings of Bayesian optimisation, shared by the searcher ``bayes`` and ``BayesSampler`` for Optuna."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuner.spec import Count, Spec


class BayesSettings(Spec):
    """Surrogate, acquisition function and initial design."""

    surrogate: Literal["gp", "rf"] = Field(
        default="gp",
        description="the model of the objective. gp: Gaussian process, for smooth objectives and up to a few "
        "hundred trials; rf: random forest, for many categories, conditions or trials",
    )
    acquisition: Literal["ei", "logei", "pi", "ucb"] = Field(
        default="logei",
        description="the function that the next trial maximises. ei: expected improvement; logei: its "
        "logarithm; pi: probability of improvement; ucb: optimistic confidence bound",
    )
    initial: Count = Field(default=10, description="number of trials that must end before the model is used")
    initial_design: Literal["sobol", "random"] = Field(
        default="sobol",
        description="how trials are drawn before the model is used. sobol: quasi-random sequence; random: "
        "independent draws",
    )
