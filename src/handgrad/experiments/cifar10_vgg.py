"""Question 6: VGG11 on CIFAR-10 in PyTorch, as given and made better."""

from handgrad.experiments.base import RecipeBudget, RecipeExperiment

EXPERIMENTS = (
    RecipeExperiment(
        "6.2",
        "VGG11 as given",
        "cifar10",
        {
            "smoke": RecipeBudget("as-given", 1, epochs=1, train_rows=2000),
            "standard": RecipeBudget("as-given", 3),
            "full": RecipeBudget("as-given", 3),
        },
    ),
    RecipeExperiment(
        "6.3",
        "VGG11 improved",
        "cifar10",
        {
            "smoke": RecipeBudget("improved", 1, epochs=1, train_rows=2000),
            "standard": RecipeBudget("improved", 3, epochs=4),
            "full": RecipeBudget("improved", 3, ablation=True),
        },
        reference="6.2",
    ),
)
