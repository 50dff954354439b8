"""The web pages, by NiceGUI on the same application. Everything that they load comes from its wheel."""

from deployer.console.pages.mount import mount

__all__ = ["mount"]
