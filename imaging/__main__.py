"""`python -m imaging` is the program `imaging`."""

from imaging.cli.program import main

if __name__ == "__main__":
    main()
