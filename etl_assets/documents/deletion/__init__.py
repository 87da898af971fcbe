"""Documents taken out of everything that holds them, by order or by age, and the proof of it."""
