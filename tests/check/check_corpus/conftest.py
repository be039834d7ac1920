"""The submissions are data: pytest imports none of them."""

collect_ignore_glob = ["baseline/*", "alternatives/*"]
