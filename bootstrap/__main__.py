"""Hand over to the Python that the environment is built from.

NOTE: like `interpreter`, this file keeps to the syntax of Python 3.6, so that an old `python3`
can still say what is missing.
"""

from bootstrap.interpreter import hand_over

if __name__ == "__main__":
    hand_over()
