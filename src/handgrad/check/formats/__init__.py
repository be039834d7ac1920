"""How a report is written: text, JSON, JUnit XML, Gradescope's results.json, an HTML page."""
