"""Starts ``harmony-vds``: most of what a short command takes is the time of its imports."""

from harmony_vds.memory import collector_at_rest


def main() -> None:
    """Load the command line and run it. **Reads:** what the command reads."""
    with collector_at_rest():
        from harmony_vds.cli.main import main as run
    run()
