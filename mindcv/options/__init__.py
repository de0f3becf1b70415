"""Options of a script: declared once, read from YAML files and the command line, shown by `--help` and a page."""
