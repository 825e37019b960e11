"""`python -m master ...`, which `qm ...` is short for."""

from .cli.main import main

main()
