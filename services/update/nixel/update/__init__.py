"""What decides on the target about an update of the system."""
