"""The argument parser of both command lines."""

import argparse


class Parser(argparse.ArgumentParser):
    """An argument parser that keeps its texts' line breaks; an error is one sentence, no usage."""

    def __init__(self, **settings):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )

    def error(self, message):
        """Print `message` and exit with status 2."""
        self.exit(2, f"error: {message}; --help explains\n")
