"""Find, verify, decode and split the data sets; each loader gives one frozen Dataset."""
