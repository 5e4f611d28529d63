"""The package as installed."""

from importlib.metadata import entry_points, version


def test_distribution_is_installed_with_a_version() -> None:
    assert version("cocok").count(".") == 2


def test_the_command_is_declared() -> None:
    (script,) = entry_points(group="console_scripts", name="cocok")
    assert script.value == "service.cli:main"
