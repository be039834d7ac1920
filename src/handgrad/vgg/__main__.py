"""Entry point of `python -m handgrad.vgg`."""

from handgrad.vgg.command import main

main()
