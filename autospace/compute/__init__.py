"""Where and how work is done: device, precision, threads, memory, processes."""
