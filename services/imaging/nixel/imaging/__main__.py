"""`python -m nixel.imaging` is the `nixel` command."""

from nixel.imaging.cli import main

if __name__ == "__main__":
    main()
