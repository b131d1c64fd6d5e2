"""How a training goes, from the options of ``retrain`` and ``reproduce``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:  # torch, which an edge server lacks
    from stgal_stream.training.trainer import TrainingSettings

RECIPES = ("default", "paper")


def recipe_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--recipe``."""
    return click.option(
        "--recipe",
        "--setting",
        "recipe",
        type=click.Choice(RECIPES),
        default="default",
        show_default=True,
        help="How to train; paper: the paper's numbers as printed.",
    )(command)


def training_settings(
    recipe: str, seed: int, precision: str, *, within_cameras: bool = False, **chosen: Any
) -> TrainingSettings:
    """The recipe's settings, over them what was ``chosen`` (None: not). ``precision`` "auto" is
    left for the machine to decide, except that the paper's recipe is as printed."""
    from stgal_stream.training.trainer import TrainingSettings

    if recipe == "paper":
        made = TrainingSettings.paper(seed)
    elif within_cameras:
        made = TrainingSettings.within_cameras(seed)
    else:
        made = TrainingSettings(seed=seed)
    if recipe != "paper" or precision != "auto":
        chosen["precision"] = precision
    return replace(made, **{name: value for name, value in chosen.items() if value is not None})
