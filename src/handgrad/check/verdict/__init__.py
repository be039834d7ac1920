"""Which mistake it is: outputs compared with what is wanted, and causes named."""
