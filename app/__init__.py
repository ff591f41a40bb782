"""The programs: command line, page, batch; the pipeline that they share. Only app knows every other package."""

__version__ = "0.1.0"
