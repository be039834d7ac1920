"""Submissions for `handgrad check` to judge: a right one, broken ones, other right ones."""
