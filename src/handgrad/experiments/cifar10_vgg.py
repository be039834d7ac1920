"""Question 6: VGG11 on CIFAR-10 in PyTorch, as given and made better."""

from handgrad.experiments.base import Ablation, RecipeBudget, RecipeExperiment

# One change or two of each kind that the question lists, on a fifth of the rows: two minutes.
_SHORT_TABLE = Ablation(
    epochs=2,
    changes=(
        "improved",
        "adamw",
        "no-normalization",
        "no-crop",
        "relu",
        "half-widths",
        "constant",
        "average-pooling",
        "first-5x5",
    ),
    train_rows=9_000,
)

EXPERIMENTS = (
    RecipeExperiment(
        "6.2",
        "VGG11 as given",
        "cifar10",
        {
            "smoke": RecipeBudget("as-given", 1, epochs=1, train_rows=2000),
            "standard": RecipeBudget("as-given", 2),
            "full": RecipeBudget("as-given", 3),
        },
    ),
    RecipeExperiment(
        "6.3",
        "VGG11 improved",
        "cifar10",
        {
            "smoke": RecipeBudget("improved", 1, epochs=1, train_rows=2000),
            "standard": RecipeBudget("improved", 2, epochs=4, ablation=_SHORT_TABLE),
            "full": RecipeBudget("improved", 3, ablation=Ablation(epochs=3)),
        },
        reference="6.2",
    ),
)
