"""What is kept: the sealed event log, and the black box's recordings of trips."""
