"""``python -m interchange``: the command line, where its script is not on the path."""

from interchange.cli import main

if __name__ == "__main__":
    main()
