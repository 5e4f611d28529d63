"""What is called as a long piece of work goes on."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

Steps = Callable[[str, int, int], None]
"""Called with the name of a step, what is done of it, and what there is to do."""
