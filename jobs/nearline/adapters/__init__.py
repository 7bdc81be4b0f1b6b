"""The rim: one outside system a file."""
