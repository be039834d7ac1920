"""Where submissions run: found, imported and stepped in child processes with limits."""
