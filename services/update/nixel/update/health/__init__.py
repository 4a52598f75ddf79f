"""The instrument's own health check: what a system that is on trial has to show before it may stay."""
