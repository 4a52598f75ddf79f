"""Worker processes: what may crash or hang runs in one of its own, and takes only that one down."""
