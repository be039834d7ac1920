"""All mutants."""

from check_corpus.mutants_dense import BATCHNORM, DROPOUT, FC, RELU
from check_corpus.mutants_images import CONV, POOL
from check_corpus.mutants_losses import LOSSES, OPTIM
from check_corpus.mutants_training import MODELS, SOLVER

MUTANTS = [*FC, *RELU, *DROPOUT, *BATCHNORM, *CONV, *POOL, *LOSSES, *OPTIM, *MODELS, *SOLVER]
