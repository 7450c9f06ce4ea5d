"""Runtimes that execute networks behind one `Engine` protocol."""
