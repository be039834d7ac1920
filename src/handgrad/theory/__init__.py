"""The written half of the assignment: questions 1 and 7 as pages, one markdown file a topic.

The same files are the derivations of the documentation, and tests/theory/ evaluates the formulas in
them: what is displayed is what is checked.
"""

from handgrad.theory.pages import Page, pages
from handgrad.theory.render import mathml

__all__ = ["Page", "mathml", "pages"]
