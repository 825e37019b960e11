"""`python -m master ...`, which `qm ...` is short for."""

from .cli import main

main()
