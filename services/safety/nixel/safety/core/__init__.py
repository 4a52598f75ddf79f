"""The safety logic: what an instrument declares, what each reading means, and the pure function of a tick."""
