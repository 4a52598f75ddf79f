"""What cameras speak: the kernel's V4L2 interface, raw pixel formats, and the virtual camera's wire."""
