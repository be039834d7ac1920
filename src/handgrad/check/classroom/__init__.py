"""For courses: starters, rubrics, folders of submissions, Gradescope, judging at each save."""
