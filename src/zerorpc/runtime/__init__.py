"""What Python and the system give a process: event loops, forks, signals, standard descriptors."""
