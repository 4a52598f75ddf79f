"""The imaging service of nixel: jobs, provenance, the page and the `nixel` command."""
