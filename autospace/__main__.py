"""`python -m autospace`, which `torchrun -m autospace` needs: the command `autospace`."""

from autospace.cli.main import app

if __name__ == "__main__":
    app(prog_name="autospace")
