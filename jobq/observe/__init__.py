"""Listeners: how what jobq does is told to people and machines."""
