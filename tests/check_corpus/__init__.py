"""Submissions for `handgrad check` to judge: a right one, broken ones, right ones in other styles."""
