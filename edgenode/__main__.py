"""`python -m edgenode`."""

from edgenode.cli import main

if __name__ == "__main__":
    main()
