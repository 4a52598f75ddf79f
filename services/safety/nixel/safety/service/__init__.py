"""The socket: its language, who may ask for what, and the thread that answers."""
