"""What a submission's files hold, by syntax alone: names, archives, notebooks; nothing is run."""
