"""`python -m handgrad` is `handgrad`."""

from handgrad.cli import main

if __name__ == "__main__":
    main()
