"""Find, verify, decode and split the data sets; each loader gives one frozen Dataset."""

from handgrad.datasets.cifar10 import load_cifar10
from handgrad.datasets.course import load_course
from handgrad.datasets.dataset import Dataset
from handgrad.datasets.mnist import load_mnist

__all__ = ["Dataset", "load_cifar10", "load_course", "load_mnist"]
