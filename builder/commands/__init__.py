"""The commands, each thin: reads options, calls the rest of the package, prints what came of it."""
